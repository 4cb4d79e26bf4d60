"""Secrets, filters and shapes: what leaves the member, and what changes a fingerprint."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.filters import Filter
from agent.secrets import LAST_APPLIED, redacted
from agent.slim import Print, Slimmer, Unreadable
from schema.policy import Policy, Rule
from schema.resource import PrinterColumn, ResourceType
from schema.wire import Delete, Reject, Upsert

SECRETS = ResourceType("", "v1", "secrets", "Secret", True)
CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap", True)
NODES = ResourceType("", "v1", "nodes", "Node", False)


def raw(name: str = "a", namespace: str = "ns", **more: Any) -> bytes:
    meta = {"name": name, "namespace": namespace, "uid": "u", "resourceVersion": "7", **more.pop("metadata", {})}
    return json.dumps({"metadata": meta, **more}, separators=(",", ":")).encode()


@given(st.dictionaries(st.text(), st.text(min_size=8).map(lambda text: f"canary{text}"), max_size=5))
def test_keys_stay_and_values_go(data: dict[str, str]) -> None:
    clean = redacted(raw(data=data, stringData=data, metadata={"annotations": {LAST_APPLIED: "canary", "k": "v"}}))
    held = msgspec.json.decode(clean)
    assert held["data"] == held["stringData"] == dict.fromkeys(data, "")
    assert held["metadata"]["annotations"] == {"k": "v"}
    assert b"canary" not in clean or any("canary" in key for key in data)


@pytest.mark.parametrize("odd", [{"data": None}, {}, {"data": {}}, {"metadata": {"annotations": None}}])
def test_secrets_without_data(odd: dict[str, Any]) -> None:
    assert msgspec.json.decode(redacted(raw(**odd))).get("data") in (None, {})


def test_a_secret_of_another_form_does_not_leave() -> None:
    delta = Slimmer(SECRETS, Policy()).upsert(1, raw(data=["canary"]), 0.0)
    assert isinstance(delta, Reject)
    assert "canary" not in delta.reason
    with pytest.raises(msgspec.DecodeError):
        redacted(raw(data=["canary"]))


def test_values_do_not_change_a_secrets_fingerprint() -> None:
    slimmer = Slimmer(SECRETS, Policy())
    assert slimmer.print(raw(data={"k": "one"})) == slimmer.print(raw(data={"k": "two"}))


def test_print_and_upsert_agree() -> None:
    slimmer = Slimmer(CONFIG_MAPS, Policy())
    for obj in (raw(data={"k": "v"}), raw(data={"k": "x" * 4_000_000}), raw(metadata={"labels": {"a": 1}})):
        delta, seen = slimmer.upsert(1, obj, 0.0), slimmer.print(obj)
        assert isinstance(delta, (Upsert, Reject))
        assert seen == Print(delta.namespace, delta.name, delta.uid, delta.fingerprint, delta.bucket)


def test_an_upsert_carries_what_is_searched() -> None:
    meta = {
        "labels": {"app": "web"},
        "creationTimestamp": "2026-11-24T10:00:00Z",
        "ownerReferences": [{"uid": "boss", "controller": True}, {"uid": ""}],
    }
    delta = Slimmer(CONFIG_MAPS, Policy()).upsert(1, raw(metadata=meta, data={"k": "v"}), 5.0)
    assert isinstance(delta, Upsert)
    assert (delta.labels, delta.owners, delta.created, delta.seen) == (["app=web"], ["boss"], 1795514400, 5.0)
    assert delta.size == len(zstandard.decompress(delta.body))
    assert msgspec.json.decode(delta.cells)[0] == "a"


def test_the_size_limit_is_of_the_body_without_managed_fields() -> None:
    fields = [{"manager": "m" * 4_000_000}]
    assert isinstance(Slimmer(CONFIG_MAPS, Policy()).upsert(1, raw(metadata={"managedFields": fields}), 0.0), Upsert)


@pytest.mark.parametrize("junk", [b"", b"not json", b"[]", b'{"metadata":7}'])
def test_what_has_no_name_cannot_be_read(junk: bytes) -> None:
    slimmer = Slimmer(CONFIG_MAPS, Policy())
    for call in (
        lambda: slimmer.print(junk),
        lambda: slimmer.upsert(1, junk, 0.0),
        lambda: slimmer.delete(1, junk, 0.0),
    ):
        with pytest.raises(Unreadable):
            call()


def test_shapes_differ_where_stored_rows_would_be_wrong() -> None:
    widgets = ResourceType("example.com", "v1", "widgets", "Widget", True, columns=(), selectable_fields=())
    size = PrinterColumn("Size", "integer", ".spec.size")
    only = Policy(include=(Rule(namespaces=("a",)),))
    shapes = [
        Slimmer(widgets, Policy()).shape,
        Slimmer(msgspec.structs.replace(widgets, columns=(size,)), Policy()).shape,
        Slimmer(msgspec.structs.replace(widgets, selectable_fields=(".spec.size",)), Policy()).shape,
        Slimmer(widgets, only).shape,
        Slimmer(SECRETS, Policy()).shape,
    ]
    assert len(set(shapes)) == len(shapes)
    assert Slimmer(widgets, Policy()).shape == Slimmer(widgets, Policy(exclude=())).shape
    assert Slimmer(CONFIG_MAPS, Policy()).shape == Slimmer(NODES, Policy()).shape


@pytest.mark.parametrize(
    ("policy", "namespace", "labels", "lets"),
    [
        (Policy(), "ns", {}, True),
        (Policy(include=(Rule(namespaces=("pay*",)),)), "payments", {}, True),
        (Policy(include=(Rule(namespaces=("pay*",)),)), "other", {}, False),
        (Policy(include=(Rule(namespaces=("*",)),)), "", {}, False),
        (Policy(include=(Rule(labels="team in (a,b)"),)), "ns", {"team": "a"}, True),
        (Policy(include=(Rule(labels="team in (a,b)"),)), "ns", {}, False),
        (Policy(include=(Rule(namespaces=("x",)), Rule(labels="a=b"))), "ns", {"a": "b"}, True),
        (Policy(include=(Rule(namespaces=("x",)), Rule())), "ns", {}, True),
        (Policy(exclude=(Rule(namespaces=("kube-*",)),)), "kube-system", {}, False),
        (Policy(exclude=(Rule(namespaces=("kube-*",), labels="hide"),)), "kube-system", {}, True),
        (Policy(exclude=(Rule(labels="hide"),)), "ns", {"hide": ""}, False),
        (
            Policy(include=(Rule(resources=("pods",), namespaces=("x",)), Rule(resources=("configmaps",)))),
            "ns",
            {},
            True,
        ),
    ],
)
def test_filters(policy: Policy, namespace: str, labels: dict[str, str], lets: bool) -> None:
    assert Filter(policy, CONFIG_MAPS).lets(namespace, labels) is lets


def test_an_object_that_leaves_the_selection_is_deleted() -> None:
    slimmer = Slimmer(CONFIG_MAPS, Policy(exclude=(Rule(labels="hide"),)))
    hidden = raw(metadata={"labels": {"hide": "yes"}})
    assert slimmer.print(hidden) is None
    assert slimmer.upsert(3, hidden, 1.0) == Delete(3, "ns", "a", "u", 1.0)


def test_labels_and_columns_that_the_summary_cannot_read_do_not_lose_the_object() -> None:
    pods = ResourceType("", "v1", "pods", "Pod", True)
    delta = Slimmer(pods, Policy()).upsert(1, raw(spec={"containers": "none"}, status={"phase": 7}), 0.0)
    assert isinstance(delta, Upsert)
    assert msgspec.json.decode(delta.cells)[0] == "a"
