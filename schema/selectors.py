"""Label and field selectors: one parser and one meaning for the policy (agent), the Kubernetes faces and the watch.

Label selectors are Kubernetes' own grammar. Field selectors are that of Kubernetes made wider: any path of the object
(`spec.nodeName`, `.spec.nodeName`, `metadata.annotations['a.b/c']`, `metadata.annotations."a.b/c"`,
`spec.containers[0].image`) and the operators of label selectors. A negative operator (`!=`, `notin`, `!key`) also
matches where the key is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from schema.errors import BadRequest

Operator = Literal["=", "!=", "in", "notin", "exists", "!exists"]
NEGATIVE: Final = frozenset({"!=", "notin", "!exists"})

MAX_LENGTH: Final = 16_384
"""Characters; longer selectors are refused, so that no statement grows without end."""
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PLAIN_SEGMENT: Final = re.compile(r"[^\s.,=!()\[\]'\"\\<>]+")


@dataclass(frozen=True)
class Requirement:
    """`values`: one for `=` and `!=`, at least one for `in` and `notin`, none else. `path`: the segments of `key` where
    the requirement is of a field selector."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    @property
    def negative(self) -> bool:
        return self.operator in NEGATIVE

    def matches(self, values: Mapping[str, str]) -> bool:
        present = self.key in values
        if self.operator in ("exists", "!exists"):
            return present == (self.operator == "exists")
        return (present and values[self.key] in self.values) != self.negative


@dataclass(frozen=True)
class Selector:
    """All of its requirements must hold; one without requirements matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, values: Mapping[str, str] | None) -> bool:
        """`values`: the labels of an object, or its fields by dotted path."""
        return all(requirement.matches(values or {}) for requirement in self.requirements)


def parse_label_selector(text: str) -> Selector:
    """Raises BadRequest that names the position (from 1) and what would be right."""
    return _Parser(text, "label selector").parse()


def parse_field_selector(text: str) -> Selector:
    """Requirements with `path`; their `key` is the path joined with dots. Raises BadRequest as above."""
    return _FieldParser(text, "field selector").parse()


class _Parser:
    """Recursive descent over the text itself; whitespace between tokens means nothing."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what, self.at = text, what, 0
        if len(text) > MAX_LENGTH:
            raise BadRequest(f"the {what} has {len(text)} characters, more than {MAX_LENGTH}")

    def parse(self) -> Selector:
        self.skip()
        if self.at == len(self.text):
            return Selector()
        requirements = [self.requirement()]
        while self.at < len(self.text):
            if not self.take(","):
                self.fail("expected ',' or the end")
            requirements.append(self.requirement())
        return Selector(tuple(requirements))

    def requirement(self) -> Requirement:
        self.skip()
        if self.take("!"):
            key, path = self.key()
            return Requirement(key, "!exists", (), path)
        key, path = self.key()
        operator = self.operator()
        if operator == "exists":
            return Requirement(key, operator, (), path)
        if operator in ("in", "notin"):
            return Requirement(key, operator, self.values(), path)
        return Requirement(key, operator, (self.value(",", one=True),), path)

    def operator(self) -> Operator:
        if self.at == len(self.text) or self.text[self.at] == ",":
            return "exists"
        for token, operator in _SIGNS:
            if self.take(token):
                return operator
        if self.text[self.at] in "<>":
            self.fail("'<' and '>' are not supported here; use =, ==, !=, in, notin, KEY or !KEY")
        word = re.compile(r"(in|notin)(?=[\s(]|$)").match(self.text, self.at)
        if not word:
            self.fail("expected =, ==, !=, in, notin, ',' or the end")
        self.at = word.end()
        self.skip()
        return "in" if word[1] == "in" else "notin"

    def values(self) -> tuple[str, ...]:
        if not self.take("("):
            self.fail("expected '(' and values after in or notin")
        values = [self.value(",)")]
        while self.take(","):
            values.append(self.value(",)"))
        if not self.take(")"):
            self.fail("expected ',' or ')'")
        return tuple(dict.fromkeys(values))

    def value(self, ends: str, one: bool = False) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ends and not self.text[self.at].isspace():
            self.at += 1
        value = self.text[start : self.at]
        if value and not _NAME.fullmatch(value):
            self.at = start
            self.fail(f"{value!r} is no label value (at most 63 letters, digits, '-', '_', '.', no sign at an end)")
        self.skip()
        return value

    def key(self) -> tuple[str, tuple[str, ...]]:
        self.skip()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in "=!,()<>" and not self.text[self.at].isspace():
            self.at += 1
        key = self.text[start : self.at]
        prefix, slash, name = key.rpartition("/")
        if not _NAME.fullmatch(name) or (slash and not _PREFIX.fullmatch(prefix)):
            self.at = start
            self.fail(f"{key!r} is no label key" if key else "expected a label key")
        self.skip()
        return key, ()

    def take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        self.skip()
        return True

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def fail(self, expected: str) -> NoReturn:
        raise BadRequest(f"{self.what} {self.text!r}, position {self.at + 1}: {expected}")


_SIGNS: Final[tuple[tuple[str, Operator], ...]] = (("==", "="), ("=", "="), ("!=", "!="))


class _FieldParser(_Parser):
    def key(self) -> tuple[str, tuple[str, ...]]:
        self.skip()
        if self.text.startswith(".", self.at):
            self.at += 1
        path = [self.segment()]
        while self.at < len(self.text) and self.text[self.at] in ".[":
            if self.text[self.at] == ".":
                self.at += 1
            path.append(self.segment())
        self.skip()
        return ".".join(path), tuple(path)

    def segment(self) -> str:
        if self.text.startswith("[", self.at):
            start = self.at
            self.at += 1
            if self.text.startswith("]", self.at):
                self.fail("'[]' (any element of a list) is not built yet; name one element as in [0]")
            inner = self.quoted() if self.text[self.at : self.at + 1] in ("'", '"') else self.index()
            if not self.text.startswith("]", self.at):
                self.at = start
                self.fail("expected ['KEY'] or [INDEX]")
            self.at += 1
            return inner
        if self.text[self.at : self.at + 1] in ("'", '"'):
            return self.quoted()
        plain = _PLAIN_SEGMENT.match(self.text, self.at)
        if not plain:
            self.fail("expected a field, as in status.phase or metadata.annotations['a.b/c']")
        self.at = plain.end()
        return plain[0]

    def quoted(self) -> str:
        end = self.text.find(self.text[self.at], self.at + 1)
        if end < 0:
            self.fail("the quote is not closed")
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        if not inner:
            self.fail("an empty key selects nothing")
        return inner

    def index(self) -> str:
        number = re.compile(r"\d{1,6}").match(self.text, self.at)
        if not number:
            self.fail("expected ['KEY'] or [INDEX]")
        self.at = number.end()
        return number[0]

    def value(self, ends: str, one: bool = False) -> str:
        """Any text; `\\`, ',', '=' (and ')' in a list) are written with a backslash before them, as Kubernetes does."""
        out: list[str] = []
        while self.at < len(self.text) and self.text[self.at] not in ends:
            if self.text[self.at] == "\\":
                self.at += 1
                if self.text[self.at : self.at + 1] not in ("\\", ",", "=", ")"):
                    self.fail("a backslash must be followed by '\\', ',', '=' or ')'")
            elif self.text[self.at] == "=":
                self.fail("write '=' in a value as '\\='")
            elif self.text[self.at] == "\0":
                self.fail("a value cannot hold NUL")
            out.append(self.text[self.at])
            self.at += 1
        value = "".join(out)
        self.skip()
        return value if one else value.strip()
