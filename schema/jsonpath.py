"""The JSONPath dialect of kubectl and of CRD printer columns, compiled once and evaluated on decoded JSON.

Missing keys give no result, as they do for printer columns. Quirks are those of the original: `['a.b']` is two steps
(write `.a\\.b`), an index out of bounds is an error, numbers compare only with numbers of the same kind."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import orjson

Step = Callable[[list[Any]], list[Any]]

_DICT_KEY: Final = re.compile(r"'([^']*)'\Z")
_SLICE: Final = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?\Z")
_COMPARISON: Final = re.compile(r"([^!<>=]+)([!<>=]+)(.+?)\Z")
_NUMBER: Final = re.compile(r"[+-]?[0-9.]*")
_TERMINATORS: Final = frozenset(" \t\r\n.,[]$@{}")
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
}


class JSONPathError(ValueError):
    """The expression is not valid, or it does not fit the object."""


class JSONPath:
    """One expression, such as `.status.conditions[?(@.type=="Ready")].status`; braces around it are not written."""

    def __init__(self, expression: str) -> None:
        """Raises JSONPathError where the expression cannot be parsed."""
        self.expression = expression
        try:
            self._steps = _Parser(expression).parse()
        except RecursionError:
            raise JSONPathError(f"{expression[:80]!r}: nested too deep") from None

    def find(self, data: Any) -> list[Any]:
        """All results in order, none where a key is missing. Raises JSONPathError where the expression does not fit."""
        try:
            return _walk([data], self._steps)
        except RecursionError:
            raise JSONPathError(f"{self.expression!r}: the object is nested too deep") from None


def _walk(values: list[Any], steps: list[Step]) -> list[Any]:
    for step in steps:
        values = step(values)
    return values


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.steps: list[Step] = []
        self.recursive_last = False

    def parse(self) -> list[Step]:
        while self.at < len(self.text) and self.text[self.at] != "}":
            self._next()
        return self.steps

    def _append(self, step: Step, *, recursive: bool = False) -> None:
        self.steps.append(step)
        self.recursive_last = recursive

    def _next(self) -> None:
        text, at = self.text, self.at
        character = text[at]
        if text.startswith("[?(", at):
            self._filter()
        elif text.startswith("..", at):
            self._recursive()
        elif character in " @$":
            self.at += 1
        elif character == "[":
            self._array()
        elif character in "\"'":
            self._quote(character)
        elif character == ".":
            self.at += 1
            self._field()
        elif character in "+-" or character.isdigit():
            self._number()
        elif character == "_" or character.isalnum():
            self._identifier()
        else:
            raise JSONPathError(f"{self.text!r}: {character!r} at position {at + 1} begins nothing")

    def _word(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _TERMINATORS:
            self.at += 2 if self.text[self.at] == "\\" else 1
        return self.text[start : self.at]

    def _field(self) -> None:
        name = self._word()
        self._append(_wildcard if name == "*" else _field(name.replace("\\", "")))

    def _identifier(self) -> None:
        word = self._word()
        self._append(_constant(word == "true") if word in ("true", "false") else _unsupported(word))

    def _recursive(self) -> None:
        if self.recursive_last:
            raise JSONPathError(f"{self.text!r}: '..' twice in a row")
        self.at += 2
        self._append(_descend, recursive=True)
        if self.at < len(self.text) and (self.text[self.at] == "_" or self.text[self.at].isalnum()):
            self._field()

    def _number(self) -> None:
        match = _NUMBER.match(self.text, self.at)
        word = match.group() if match else ""
        self.at += len(word)
        try:
            self._append(_constant(float(word) if "." in word else int(word)))
        except ValueError:
            raise JSONPathError(f"{self.text!r}: {word!r} is no number") from None

    def _quote(self, quote: str) -> None:
        start = self.at
        self.at += 1
        while True:
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                raise JSONPathError(f"{self.text!r}: a quoted string does not end")
            self.at += 1
            if self.text[self.at - 1] == quote and self.text[self.at - 2] != "\\":
                break
        literal = self.text[start + 1 : self.at - 1]
        self._append(_text(literal.replace(f"\\{quote}", quote).replace("\\\\", "\\")))

    def _array(self) -> None:
        end = self.text.find("]", self.at)
        if end < 0:
            raise JSONPathError(f"{self.text!r}: '[' is not closed")
        inside = self.text[self.at + 1 : end]
        self.at = end + 1
        if "," in inside:
            self._append(_union([_Parser(f"[{part.strip(' ')}]").parse() for part in inside.split(",")]))
            return
        if key := _DICT_KEY.match(inside):
            self.steps += _Parser(f".{key.group(1)}").parse()
            self.recursive_last = False
            return
        bounds = _SLICE.match(":" if inside == "*" else inside)
        if bounds is None:
            raise JSONPathError(f"{self.text!r}: [{inside}] is neither an index nor a quoted key")
        start, stop, step = bounds.groups()
        self._append(_slice(_integer(start), _integer(stop), _integer(step), single=stop is None))

    def _filter(self) -> None:
        start = self.at + len("[?(")
        self.at = start
        opened = closed = False
        pair = ""
        while True:
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                raise JSONPathError(f"{self.text!r}: '[?(' is not closed")
            character = self.text[self.at]
            self.at += 1
            if character in "\"'":
                if not opened:
                    opened, pair = True, character
                elif character == pair and self.text[self.at - 2] != "\\":
                    closed = True
            elif character == ")" and opened == closed:
                break
        inside = self.text[start : self.at - 1]
        if self.at >= len(self.text) or self.text[self.at] != "]":
            raise JSONPathError(f"{self.text!r}: ']' must follow the filter")
        self.at += 1
        comparison = _COMPARISON.match(inside)
        if comparison is None:
            self._append(_exists(_Parser(inside).parse()))
            return
        left, sign, right = comparison.groups()
        self._append(_compare(_Parser(left).parse(), sign, _Parser(right).parse()))


def _integer(text: str | None) -> int | None:
    digits = (text or "").removeprefix(":")
    if digits == "-":
        raise JSONPathError(f"index {digits!r} is no number")
    return int(digits) if digits else None


# -- steps: from the values so far to the next -------------------------------------------------------------------------
def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _constant(constant: bool | int | float) -> Step:
    return lambda values: [constant] * len(values)


def _text(text: str) -> Step:
    return lambda values: [text]


def _unsupported(word: str) -> Step:
    def fail(values: list[Any]) -> list[Any]:
        raise JSONPathError(f"{word!r} is not understood here")

    return fail


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    if isinstance(value, str):
        return list(value.encode())
    return value if isinstance(value, list) else []


def _wildcard(values: list[Any]) -> list[Any]:
    return [child for value in values for child in _children(value)]


def _descend(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if children := _children(value):
            found.append(value)
            found += _descend(children)
    return found


def _union(branches: list[list[Step]]) -> Step:
    return lambda values: [result for steps in branches for result in _walk(values, steps)]


def _slice(start: int | None, stop: int | None, step: int | None, *, single: bool) -> Step:
    def take(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise JSONPathError(f"{type(value).__name__} is not an array")
            if (bounds := _bounds(len(value), start, stop, single)) is None:
                return found
            if step is not None and step <= 0:
                raise JSONPathError("the step of a slice must be above 0")
            found += value[bounds[0] : bounds[1] : step or 1]
        return found

    return take


def _bounds(length: int, start: int | None, stop: int | None, single: bool) -> tuple[int, int] | None:
    """The span that a slice takes of an array; None where it asks for nothing."""
    first = start or 0
    last = first + 1 if single else length if stop is None else stop
    if first < 0:
        first += length
    if last < 0 or (last == 0 and single):
        last += length
    if first == last:
        return None
    if not 0 <= first < length or not 0 <= last <= length or first > last:
        raise JSONPathError(f"[{first}:{last}] is out of the bounds of an array of {length}")
    return first, last


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise JSONPathError(f"{type(value).__name__} is not an array and cannot be filtered")
    return value


def _exists(steps: list[Step]) -> Step:
    def holds(item: Any) -> bool:
        try:
            return bool(_walk([item], steps))
        except JSONPathError:
            return True  # the original takes its unfinished result for one

    return lambda values: [item for value in values for item in _items(value) if holds(item)]


def _compare(left: list[Step], sign: str, right: list[Step]) -> Step:
    def holds(item: Any) -> bool:
        lefts, rights = _walk([item], left), _walk([item], right)
        if not lefts or not rights:
            return False
        if len(lefts) > 1 or len(rights) > 1:
            raise JSONPathError("one value at a time can be compared")
        if (compare := _OPERATORS.get(sign)) is None:
            raise JSONPathError(f"{sign!r} is no comparison")
        kinds = {type(lefts[0]), type(rights[0])}
        if len(kinds) > 1 or not kinds <= {str, int, float, bool} or (kinds == {bool} and sign not in ("==", "!=")):
            raise JSONPathError(f"{lefts[0]!r} and {rights[0]!r} cannot be compared with {sign}")
        return compare(lefts[0], rights[0])

    return lambda values: [item for value in values for item in _items(value) if holds(item)]


# -- values as Go writes them ------------------------------------------------------------------------------------------
def go_text(value: Any) -> str:
    """A result as kubectl and the API server write it: scalars plain, objects and arrays as JSON."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value) if -(2**63) <= value < 2**63 else _go_float(float(value))
        case float():
            return _go_float(value)
    encoded = orjson.dumps(_whole_numbers(value), option=orjson.OPT_SORT_KEYS).decode()
    return encoded.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _go_float(value: float) -> str:
    decimal = Decimal(repr(value)).normalize()
    exponent = decimal.adjusted() if value else 0
    if -4 <= exponent < 6:  # NaN and infinity are not in JSON
        return format(decimal, "f")
    sign, digits, _ = decimal.as_tuple()
    fraction = "".join(map(str, digits[1:]))
    mantissa = f"{digits[0]}.{fraction}" if fraction else str(digits[0])
    return f"{'-' * sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _whole_numbers(value: Any) -> Any:
    """Go's JSON writes 1.0 as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole_numbers(child) for key, child in value.items()}
    return [_whole_numbers(child) for child in value] if isinstance(value, list) else value
