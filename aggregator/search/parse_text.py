"""The text grammar for people → Expression: NOT binds before adjacency (AND), that before OR.

`nginx ns:pay* app=web cluster.env=prod -status:Running (kind:po OR kind:deploy) label.tier:web "two words"`.
What is not understood is refused with its position; what is still to come says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from aggregator.search.fields import BY_NAME, PREFIXES, RESERVED
from aggregator.search.query import (
    AnyOf,
    ClusterLabel,
    Expression,
    Field,
    Glob,
    Label,
    Match,
    Not,
    Word,
    every,
)
from schema.errors import BadRequest
from schema.selectors import parse_field_selector

MAX_LENGTH: Final = 4096
MAX_TERMS: Final = 100
MAX_DEPTH: Final = 20
_SPECIAL: Final = re.compile(r"[\s()|]")
_KEY: Final = re.compile(r"[A-Za-z0-9_./-]+")
_OPERATORS: Final = ("!=", "<=", ">=", ":", "=", "<", ">")

Kind = Literal["(", ")", "OR", "AND", "NOT", "term", "end"]


@dataclass(frozen=True)
class Token:
    """`at`: position in the text, from 0."""

    kind: Kind
    text: str
    at: int


def parse_text(text: str) -> Expression:
    """Raises BadRequest with the position (from 1) of what is wrong and what would be right."""
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"the query has {len(text)} characters, more than {MAX_LENGTH}")
    if "\0" in text:
        raise BadRequest(f"query, position {text.index(chr(0)) + 1}: NUL cannot be in a name or label")
    tokens = _tokens(text)
    if sum(token.kind == "term" for token in tokens) > MAX_TERMS:
        raise BadRequest(f"the query has more than {MAX_TERMS} terms")
    return _Parser(text, tokens).parse()


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
        elif character == "|":
            raise _wrong(at, "stages after '|' (count by, top N by) are not built yet; leave them out")
        elif character in "()":
            tokens.append(Token("(" if character == "(" else ")", character, at))
            at += 1
        elif character == "-" and text[at + 1 : at + 2].strip() and text[at + 1] != "-":
            tokens.append(Token("NOT", "-", at))
            at += 1
        else:
            end = _end_of_term(text, at)
            word = text[at:end]
            kind: Kind = "OR" if word == "OR" else "AND" if word == "AND" else "NOT" if word == "NOT" else "term"
            tokens.append(Token(kind, word, at))
            at = end
    return [*tokens, Token("end", "", len(text))]


def _end_of_term(text: str, at: int) -> int:
    """Terms end at whitespace, parentheses and '|' outside of quotes."""
    start = at
    while at < len(text) and not _SPECIAL.match(text[at]):
        if text[at] == '"':
            at = _closing(text, at)
        at += 1
    return max(at, start + 1)


def _closing(text: str, at: int) -> int:
    end = at + 1
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise _wrong(at, "the quote is not closed")
    return end


class _Parser:
    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text, self.tokens, self.at, self.depth = text, tokens, 0, 0

    def parse(self) -> Expression:
        if self.take("end"):
            return every()
        found = self.alternatives()
        if not self.take("end"):
            raise _wrong(self.token.at, f"unexpected {self.token.text!r}")
        return found

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self, kind: Kind) -> bool:
        if self.token.kind != kind:
            return False
        self.at += 1
        return True

    def alternatives(self) -> Expression:
        found = [self.conjunction()]
        while self.take("OR"):
            found.append(self.conjunction())
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def conjunction(self) -> Expression:
        found = [self.negation()]
        while self.token.kind in ("NOT", "(", "term", "AND"):
            self.take("AND")
            found.append(self.negation())
        return every(*found)

    def negation(self) -> Expression:
        negated = False
        while self.take("NOT"):
            negated = not negated
        found = self.atom()
        return Not(found) if negated else found

    def atom(self) -> Expression:
        token = self.token
        if self.take("("):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise _wrong(token.at, f"more than {MAX_DEPTH} parentheses within each other")
            found = self.alternatives()
            if not self.take(")"):
                raise _wrong(self.token.at, "expected ')'")
            self.depth -= 1
            return found
        if self.take("term"):
            return _term(token)
        what = f"found {token.text!r}" if token.text else "found the end"
        raise _wrong(token.at, f"expected a word or field:value, {what}")


def _term(token: Token) -> Expression:
    text, at = token.text, token.at
    if text.startswith("~"):
        raise _wrong(at, "regular expressions are not built yet; use * as a wildcard, as in name:web-*")
    if text.startswith('"'):
        return _word(_unquoted(text, at), at)
    if text.startswith("."):
        return _path(text, at)
    key = _KEY.match(text)
    operator = next((sign for sign in _OPERATORS if key and text.startswith(sign, key.end())), "")
    if not key or not operator:
        return _word(text, at)
    value_at = key.end() + len(operator)
    if operator in ("<", "<=", ">", ">="):
        raise _wrong(at + key.end(), f"comparing with {operator} is not built yet; use {key[0]}:VALUE")
    if text.startswith("~", value_at):
        raise _wrong(at + value_at, "regular expressions are not built yet; use * as a wildcard")
    globs = _values(text, value_at, at)
    found = _pair(key[0], operator, globs, at)
    return Not(found) if operator == "!=" else found


def _word(text: str, at: int) -> Expression:
    if "*" in text:
        raise _wrong(at, f"a free word matches anywhere already; for a wildcard write name:{text}")
    if not text:
        raise _wrong(at, "an empty word matches everything; leave it out")
    return Word(text)


def _pair(key: str, operator: str, globs: tuple[Glob, ...], at: int) -> Expression:
    prefix, dot, rest = key.partition(".")
    if dot and rest and prefix == "label":
        return Label(rest, globs)
    if dot and rest and prefix == "cluster":
        return ClusterLabel(rest, globs)
    field = BY_NAME.get(key)
    if field is not None:
        return Match(field.column, globs)
    if key in RESERVED:
        raise _wrong(at, f"{key}: {RESERVED[key]} is not built yet")
    if operator != ":":
        return Label(key, globs)
    raise _wrong(at, f"unknown field {key!r}{_suggestion(key)}; for an object's label write {key}=VALUE")


def _suggestion(key: str) -> str:
    near = get_close_matches(key, [*BY_NAME, *(f"{prefix}.KEY" for prefix in PREFIXES)], n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; fields are {', '.join(BY_NAME)}, label.KEY, cluster.KEY"


def _path(text: str, at: int) -> Expression:
    if any(sign in text for sign in ("<", ">")):
        raise _wrong(at, "comparing with < and > is not built yet")
    if "[]" in text:
        raise _wrong(at + text.index("[]"), "'[]' (any element of a list) is not built yet; name one element as in [0]")
    found = re.search(r"!=|[:=]", text)
    left = text[: found.start()] if found else text
    try:
        (requirement,) = parse_field_selector(left).requirements
    except (BadRequest, ValueError) as error:
        raise BadRequest(f"query, position {at + 1}: {left!r} is no path; write .spec.nodeName=VALUE") from error
    if requirement.operator != "exists":
        raise _wrong(at, f"{left!r} is no path; write .spec.nodeName=VALUE")
    if not found:
        return Field(requirement.path)
    positive = Field(requirement.path, _values(text, found.end(), at))
    return Not(positive) if found[0] == "!=" else positive


def _values(text: str, start: int, at: int) -> tuple[Glob, ...]:
    """Comma-separated; `*` is a wildcard outside of quotes."""
    globs: list[Glob] = []
    pieces = [""]
    quoted = False
    index = start
    while index <= len(text):
        character = text[index : index + 1]
        if character in ("", ","):
            if pieces == [""] and not quoted:
                raise _wrong(at + index, 'expected a value (for the empty one write "")')
            globs.append(Glob(tuple(pieces)))
            pieces, quoted = [""], False
        elif character == '"':
            end = _closing(text, index)
            pieces[-1] += _unescaped(text[index + 1 : end])
            quoted = True
            index = end
        elif character == "*":
            pieces.append("")
        else:
            pieces[-1] += character
        index += 1
    return tuple(globs)


def _unquoted(text: str, at: int) -> str:
    end = _closing(text, 0)
    if end != len(text) - 1:
        raise _wrong(at + end + 1, "expected a space after the closing quote")
    return _unescaped(text[1:end])


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _wrong(at: int, message: str) -> BadRequest:
    return BadRequest(f"query, position {at + 1}: {message}")
