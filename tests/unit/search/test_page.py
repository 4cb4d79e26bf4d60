"""Continue tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.search.page import Place, decode, encode
from aggregator.search.query import Key, Label, Query
from schema.errors import BadRequest, Expired

QUERY = Query(type=("", "v1", "pods"))
PLACE = Place(42, 10, Key(3, "shop", "web", 7))
STORE = "0d1e"


def test_a_token_brings_back_the_place() -> None:
    assert decode(encode(PLACE, QUERY, STORE), QUERY, STORE, floor=42) == PLACE


@pytest.mark.parametrize("token", ["x", "", "AAAA", "é", "A" * 5000, "{}", "AAAAAAAAAAAAAAAA"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(BadRequest):
        decode(token, QUERY, STORE, 0)


@given(st.integers(0, 60), st.characters(codec="ascii"))
def test_a_changed_token_is_refused(at: int, character: str) -> None:
    token = encode(PLACE, QUERY, STORE)
    changed = token[:at] + character + token[at + 1 :]
    if changed != token:
        with pytest.raises(BadRequest):
            decode(changed, QUERY, STORE, 0)


def test_a_token_of_another_question_is_refused() -> None:
    with pytest.raises(BadRequest, match="another question"):
        decode(encode(PLACE, QUERY, STORE), Query(Label("a"), ("", "v1", "pods")), STORE, 0)


def test_a_token_from_before_what_is_kept_or_of_another_history_has_expired() -> None:
    token = encode(PLACE, QUERY, STORE)
    with pytest.raises(Expired):
        decode(token, QUERY, STORE, floor=43)
    with pytest.raises(Expired):
        decode(token, QUERY, "other", 0)
