"""Cutting an object apart and joining it again gives the object, whatever its spelling."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schema.body import (
    ANNOTATIONS,
    EMPTY_ANNOTATIONS,
    NO_ANNOTATIONS,
    bucket,
    cut,
    fingerprint,
    is_lossy,
    join,
    join_metadata,
    signed,
    unsigned,
)

OURS = {"fleetpedia.io/cluster": "one", "fleetpedia.io/resource-version": "7"}

texts = st.text(max_size=12)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
strings = st.dictionaries(texts | st.just("resourceVersion") | st.just("annotations"), texts, max_size=3)
tricky = st.sampled_from(
    [
        '"resourceVersion":"41"',
        '"managedFields":[]',
        '"annotations":{}',
        '{"metadata":{}}',
        "41",
        "\\",
        "\x00",
        "\U0001f600",
    ]
)
metadata = st.fixed_dictionaries(
    {"name": texts, "resourceVersion": st.just("41")},
    optional={
        "namespace": texts,
        "uid": texts,
        "labels": strings,
        "annotations": strings | st.dictionaries(texts, tricky, max_size=2) | st.none(),
        "managedFields": st.lists(st.dictionaries(texts, values, max_size=2), max_size=2),
        "finalizers": st.lists(texts | tricky, max_size=2),
        "generation": st.integers(0, 9),
    },
)
objects = st.fixed_dictionaries(
    {"metadata": metadata},
    optional={
        "kind": st.just("Pod"),
        "apiVersion": st.just("v1"),
        "spec": values | metadata,
        "status": values,
        "data": st.dictionaries(texts, texts | tricky, max_size=3),
    },
)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """An object and one of its spellings: order of members, spacing, escapes."""
    obj: dict[str, Any] = draw(objects)
    order = draw(st.permutations(list(obj)))
    obj = {key: obj[key] for key in order}
    meta = draw(st.permutations(list(obj["metadata"])))
    obj["metadata"] = {key: obj["metadata"][key] for key in meta}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    ascii_only = draw(st.booleans())
    indent = draw(st.sampled_from([None, None, 1]))
    text = json.dumps(obj, separators=separators, ensure_ascii=ascii_only, indent=indent)
    return text.encode(), obj


def expected(obj: dict[str, Any]) -> dict[str, Any]:
    """What is served of it."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    meta["resourceVersion"] = "99"
    meta["annotations"] = {**(meta.get("annotations") or {}), **OURS}
    return {"kind": "Pod", "apiVersion": "v1", **obj, "metadata": meta}


@settings(max_examples=400)
@given(spelled())
@example((b'{"metadata":{"resourceVersion":"41","name":"a"}}', {"metadata": {"name": "a", "resourceVersion": "41"}}))
def test_join_gives_the_object_with_version_and_annotations(given: tuple[bytes, dict[str, Any]]) -> None:
    raw, obj = given
    piece = cut(raw, "v1", "Pod")
    served = join(piece.body, piece.layout, "99", OURS)
    assert json.loads(served) == json.loads(json.dumps(expected(obj)))
    assert json.loads(join_metadata(piece.body, piece.layout, "99", OURS)) == json.loads(
        json.dumps(expected(obj)["metadata"])
    )
    assert piece.metadata.resourceVersion == "41"
    assert b'"resourceVersion":""' in piece.body


@settings(max_examples=200)
@given(spelled())
def test_the_body_does_not_depend_on_the_version(given: tuple[bytes, dict[str, Any]]) -> None:
    obj = given[1]
    other = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "1234567"}}
    assert cut(orjson.dumps(obj), "v1", "Pod").body == cut(orjson.dumps(other), "v1", "Pod").body


def spell(**meta: Any) -> bytes:
    return json.dumps({"metadata": {"name": "a", "resourceVersion": "41", **meta}}, separators=(",", ":")).encode()


def test_the_bytes_of_the_server_stay_as_they_are() -> None:
    raw = b'{"metadata":{"name":"a","resourceVersion":"41"},"spec":{"x":1e3,"y":1.0,"z":"\\u003c"}}'
    piece = cut(raw, "v1", "Pod")
    assert piece.body == raw.replace(b'"41"', b'""').replace(b"{", b'{"kind":"Pod","apiVersion":"v1",', 1)


def test_unusual_spacing_keeps_the_spelling_of_values() -> None:
    raw = b'{ "metadata": { "name": "a", "resourceVersion": "41" }, "spec": {"x":1e3,"y": 1.0} }'
    assert b'"spec":{"x":1e3,"y": 1.0}' in cut(raw, "v1", "Pod").body


@pytest.mark.parametrize(
    ("meta", "form"),
    [
        ({}, NO_ANNOTATIONS),
        ({"annotations": {}}, EMPTY_ANNOTATIONS),
        ({"annotations": {"a": "b"}}, ANNOTATIONS),
        ({"annotations": None}, NO_ANNOTATIONS),
    ],
)
def test_forms_of_annotations(meta: dict[str, Any], form: int) -> None:
    assert cut(spell(**meta), "v1", "Pod").layout[2] == form


def test_no_object_can_claim_to_be_of_another_cluster() -> None:
    raw = spell(annotations={"fleetpedia.io/cluster": "forged"})
    piece = cut(raw, "v1", "Pod")
    served = json.loads(join(piece.body, piece.layout, "99", OURS))
    assert served["metadata"]["annotations"]["fleetpedia.io/cluster"] == "one"


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_a_label_called_resource_version_is_not_taken_for_the_version(place: str) -> None:
    raw = spell(**{place: {"resourceVersion": "41"}})
    served = json.loads(join(*cut(raw, "v1", "Pod")[:2], "99", OURS))
    assert served["metadata"]["resourceVersion"] == "99"
    assert served["metadata"][place]["resourceVersion"] == "41"


def test_metadata_inside_the_spec_is_left_alone() -> None:
    inner = {"metadata": {"name": "a", "resourceVersion": "41"}}
    raw = json.dumps({"spec": {"template": inner}, **inner}, separators=(",", ":")).encode()
    served = json.loads(join(*cut(raw, "v1", "Pod")[:2], "99", OURS))
    assert served["spec"]["template"] == inner
    assert served["metadata"]["resourceVersion"] == "99"


@pytest.mark.parametrize("managed", [[], [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:annotations": {}}}}]])
@pytest.mark.parametrize("last", [True, False])
def test_managed_fields_are_gone_wherever_they_stood(managed: list[Any], last: bool) -> None:
    meta = {"name": "a", "resourceVersion": "41"}
    meta = {**meta, "managedFields": managed} if last else {"managedFields": managed, **meta}  # type: ignore[dict-item]
    raw = json.dumps({"metadata": meta, "spec": {}}, separators=(",", ":")).encode()
    served = json.loads(join(*cut(raw, "v1", "Pod")[:2], "99", OURS))
    assert set(served["metadata"]) == {"name", "resourceVersion", "annotations"}


def test_lone_surrogates_stay_in_the_body_and_are_replaced_in_the_metadata() -> None:
    data = b'"data":{"k":"\\udc00 \\ud83d\\ude00"}'
    raw = b'{"metadata":{"name":"a","resourceVersion":"41","labels":{"x":"\\ud800y"}},' + data + b"}"
    piece = cut(raw, "v1", "Pod")
    assert b"\\ud800y" in piece.body
    assert b'"\\udc00 \\ud83d\\ude00"' in piece.body
    assert piece.metadata.labels == {"x": "\ufffdy"}
    assert is_lossy(piece.body)


@pytest.mark.parametrize(
    ("text", "lossy"),
    [
        (b'"plain"', False),
        (b'"\\u003cb\\u003e"', False),
        (b'"a\\u0000b"', True),
        (b'"a\\\\u0000b"', False),
        (b'"\\\\\\u0000"', True),
        (b'"\\ud83d\\ude00"', False),
        (b'"\\uD83D\\uDE00"', False),
        (b'"\\ud83d"', True),
        (b'"\\ude00"', True),
        (b'"\\ud83d\\ud83d\\ude00"', True),
        (b'"\\ud83dx\\ude00"', True),
        (b'"\\\\ud83d"', False),
        ('"caf\u00e9"'.encode(), False),
        (b'"\xff"', True),
    ],
)
def test_what_jsonb_cannot_hold_is_lossy(text: bytes, lossy: bool) -> None:
    assert is_lossy(b'{"k":' + text + b"}") is lossy


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b'{"spec":{}}',
        b'{"metadata":[]}',
        b'{"metadata":{"labels":[1]}}',
        b'{"metadata":{"name":"a"',
    ],
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        cut(raw, "v1", "Pod")


@given(st.text(), st.text(), st.text(), st.binary())
def test_fingerprints_fit_postgres_and_depend_on_each_part(shape: str, uid: str, version: str, body: bytes) -> None:
    shape, uid, version = (part.encode("utf-8", "replace").decode() for part in (shape, uid, version))
    mark = fingerprint(shape, uid, version, body)
    assert -(2**63) <= mark < 2**63
    assert signed(unsigned(mark)) == mark
    assert mark != fingerprint(shape + "x", uid, version, body)
    assert mark != fingerprint(shape, uid + "x", version, body)
    assert mark != fingerprint(shape, uid, version + "x", body)
    assert mark != fingerprint(shape, uid, version, body + b"x")


def test_buckets_are_spread() -> None:
    counts = [0] * 256
    for number in range(25_600):
        counts[bucket("default", f"pod-{number}")] += 1
    assert min(counts) > 50
    assert max(counts) < 200
