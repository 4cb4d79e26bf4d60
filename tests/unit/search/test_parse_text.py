"""The text grammar: what it means, and that everything else is refused at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.search.fields import FIELDS, RESERVED, reference
from aggregator.search.parse_text import parse_text
from aggregator.search.query import (
    All,
    AnyOf,
    ClusterLabel,
    Expression,
    Field,
    Glob,
    Label,
    Match,
    Not,
    Word,
)
from schema.errors import BadRequest


def g(text: str) -> Glob:
    return Glob.pattern(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", All()),
        ("nginx", Word("nginx")),
        ('"two words"', Word("two words")),
        ("nginx checkout", All((Word("nginx"), Word("checkout")))),
        ("ns:pay*", Match("namespace", (g("pay*"),))),
        ("namespace:a,b", Match("namespace", (g("a"), g("b")))),
        ("cluster:prod-*", Match("cluster", (g("prod-*"),))),
        ("kind:po", Match("kind", (g("po"),))),
        ("status:CrashLoopBackOff", Match("status", (g("CrashLoopBackOff"),))),
        ("app=web", Label("app", (g("web"),))),
        ("name=web", Match("name", (g("web"),))),
        ("app!=web", Not(Label("app", (g("web"),)))),
        ("label.app:web*", Label("app", (g("web*"),))),
        ("label.name:x", Label("name", (g("x"),))),
        ("app.kubernetes.io/name=web", Label("app.kubernetes.io/name", (g("web"),))),
        ("cluster.env=prod", ClusterLabel("env", (g("prod"),))),
        ("cluster.env:prod,test", ClusterLabel("env", (g("prod"), g("test")))),
        ("-status:Running", Not(Match("status", (g("Running"),)))),
        ("NOT a=b", Not(Label("a", (g("b"),)))),
        ('name:"a*b"', Match("name", (Glob.literal("a*b"),))),
        ('app=""', Label("app", (Glob.literal(""),))),
        (".spec.nodeName:n1", Field(("spec", "nodeName"), (g("n1"),))),
        (".metadata.annotations['a.b/c']=x", Field(("metadata", "annotations", "a.b/c"), (g("x"),))),
        ("a OR b c", AnyOf((Word("a"), All((Word("b"), Word("c")))))),
        ("(a OR b) c", All((AnyOf((Word("a"), Word("b"))), Word("c")))),
        ("a AND -b", All((Word("a"), Not(Word("b"))))),
        ("web-1", Word("web-1")),
        ("10.0.0.1", Word("10.0.0.1")),
    ],
)
def test_what_a_text_means(text: str, expected: Expression) -> None:
    assert parse_text(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nmae:web", "position 1: unknown field 'nmae'; did you mean 'name'"),
        ("a zzz:b", "position 3: unknown field 'zzz'; fields are name"),
        ("a | count by cluster", "position 3: .*not built yet"),
        ("at:2026-11-20T10:00", "position 1: at: history is not built yet"),
        ("restarts>5", "position 9: comparing with > is not built yet"),
        ("age<1h", "not built yet"),
        ("~^web", "regular expressions are not built yet"),
        ("name:~^web", "position 6: regular expressions are not built yet"),
        (".spec.containers[].image:x", "position 17: .*not built yet"),
        ("(a", r"position 3: expected '\)'"),
        ("a)", "position 2: unexpected"),
        ("a OR", "position 5: expected a word"),
        ("-", None),
        ('"open', "position 1: the quote is not closed"),
        ("name:", "position 6: expected a value"),
        ("name:a,,b", "position 8: expected a value"),
        ("web*", "write name:web"),
        ("a\0", "position 2: NUL"),
        ("a " * 200, "more than 100 terms"),
        ("(" * 30, "position"),
    ],
)
def test_what_is_not_understood_is_refused_at_its_place(text: str, said: str | None) -> None:
    if said is None:
        assert parse_text(text) == Word("-")
        return
    with pytest.raises(BadRequest, match=said):
        parse_text(text)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.names[0])
def test_the_example_of_every_field_parses(field: object) -> None:
    from aggregator.search.fields import TextField

    assert isinstance(field, TextField)
    found = parse_text(field.example)
    assert isinstance(found, Match)
    assert found.column == field.column


@pytest.mark.parametrize("name", RESERVED)
def test_fields_to_come_say_so(name: str) -> None:
    with pytest.raises(BadRequest, match="not built yet"):
        parse_text(f"{name}:x")


@given(st.text(alphabet="ab:=!*-()|\"'\\.,~<>[] \tOR\0é", max_size=40))
def test_any_text_parses_or_is_a_bad_request(text: str) -> None:
    message = ""
    try:
        parse_text(text)
    except BadRequest as error:
        message = error.message
    assert not message or "position" in message or "more than" in message


def test_the_reference_is_what_the_table_of_fields_says() -> None:
    path = Path(__file__).parents[3] / "docs" / "reference" / "search.md"
    assert path.read_text() == reference(), f"write it anew: {path}"
