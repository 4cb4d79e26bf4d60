"""`*` in text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from aggregator.search.query import Glob


@given(st.text("ab*", max_size=8), st.text("ab\n", max_size=8))
def test_a_pattern_matches_as_the_regular_expression_of_it_does(pattern: str, value: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Glob.pattern(pattern).matches(value) == bool(re.fullmatch(expression, value, re.DOTALL))


def test_a_literal_may_hold_a_star() -> None:
    assert Glob.literal("a*").matches("a*")
    assert not Glob.literal("a*").matches("ab")


def test_a_thousand_wildcards_take_no_time() -> None:
    """As a regular expression this takes longer than the universe is old."""
    assert not Glob.pattern("*a" * 1000).matches("a" * 999)
    assert not Glob.pattern("*" * 1000 + "x").matches("a" * 60)
