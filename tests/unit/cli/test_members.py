from __future__ import annotations

import json
from pathlib import Path

import pytest

from aggregator.supervise.members import check_name, demo_names, dns_label, named_members
from schema.errors import BadRequest


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    contexts = ["prod", "Kind_Prod@EU", "kind-prod-eu", "a=b", "fleet"]
    file = tmp_path / "config"
    file.write_text(json.dumps({"contexts": [{"name": name, "context": {}} for name in contexts]}))
    return str(file)


def test_a_member_is_called_as_it_is_told_else_as_its_context(kubeconfig: str) -> None:
    members = named_members(kubeconfig, ["prod", "Kind_Prod@EU=other", "a=b", "a=b=c"], False)
    assert [(member.name, member.context) for member in members] == [
        ("prod", "prod"),
        ("other", "Kind_Prod@EU"),
        ("a-b", "a=b"),
        ("c", "a=b"),
    ]
    assert {member.kubeconfig for member in members} == {kubeconfig}


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ("nowhere", "has no context 'nowhere'; it has prod, "),
        ("nowhere=name", "has no context 'nowhere'"),
        ("prod=fleet", "cannot be called 'fleet'"),
        ("prod=Not_A_Label", "'Not_A_Label' is no name for a cluster"),
        ("fleet", "context 'fleet' needs a name of its own: --context 'fleet=NAME'"),
    ],
)
def test_what_will_not_do_is_named(kubeconfig: str, context: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        named_members(kubeconfig, [context], False)
    assert says in refused.value.message


def test_two_contexts_of_one_name_ask_for_another(kubeconfig: str) -> None:
    with pytest.raises(BadRequest, match="would both be called 'kind-prod-eu'"):
        named_members(kubeconfig, ["Kind_Prod@EU", "kind-prod-eu"], False)


def test_no_context_means_none_not_all(kubeconfig: str) -> None:
    with pytest.raises(BadRequest, match="--all-contexts; it has prod"):
        named_members(kubeconfig, [], False)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ("{[", "is not YAML"), ("[]", "no kubeconfig"), ("a: 1", "contexts")],
)
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadRequest) as refused:
        named_members(str(file), ["a"], False)
    assert says in refused.value.message
    assert str(file) in refused.value.message


def test_several_files_in_the_environment_are_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/a:/b")
    with pytest.raises(BadRequest, match="--kubeconfig F"):
        named_members(None, ["a"], False)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Kind_Prod@EU", "kind-prod-eu"),
        ("--a--", "a"),
        ("arn:aws:eks:eu-1:1:cluster/x", "arn-aws-eks-eu-1-1-cluster-x"),
    ],
)
def test_a_context_becomes_a_dns_label(text: str, label: str) -> None:
    assert dns_label(text) == label
    assert check_name(dns_label(text)) == label


def test_a_label_is_never_too_long() -> None:
    assert check_name(dns_label("a" * 62 + "-" + "b" * 9)) == "a" * 62


def test_names_of_a_demo_are_different_and_stay_when_it_grows() -> None:
    names = demo_names(40)
    assert len(set(names)) == 40
    assert demo_names(3) == names[:3] == ["eu-west", "us-east", "ap-south"]
    assert all(check_name(name) for name in names)
