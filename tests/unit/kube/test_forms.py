"""Accept headers, paths, versions and reviews: what needs no store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.web.kube.accept import discovery_form, media_types, resource_form
from aggregator.web.kube.discovery import version_order
from aggregator.web.kube.paths import Target, parse_path
from aggregator.web.kube.reviews import _decoded
from schema.errors import BadRequest, FleetpediaError, NotAcceptable, NotFound, UnsupportedMediaType

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_forms_are_tried_by_quality_then_in_the_clients_order() -> None:
    names = [media.name for media in media_types("a/b;q=0.2, c/d , e/f;q=1, g/h;q=0")]
    assert names == ["c/d", "e/f", "a/b"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        (f"{TABLE},application/json", "table"),
        (f"application/json,{TABLE}", "json"),
        ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as="
         "PartialObjectMetadataList;g=meta.k8s.io;v=v1", "metadata"),
        ("application/json;stream=watch", "json"),
        ("*/*;q=0.1", "json"),
    ],
)  # fmt: skip
def test_the_form_of_an_answer(accept: str, form: str) -> None:
    assert resource_form(accept) == form


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "application/json;as=Table;v=v2;g=meta.k8s.io"]
)
def test_a_form_that_is_not_there_is_406(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        resource_form(accept)


def test_discovery_takes_the_newest_form_that_the_client_puts_first() -> None:
    v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert discovery_form(f"{v2},application/json") == "v2"
    assert discovery_form(f"{v2.replace('v=v2', 'v=v9')},{v2.replace('v=v2', 'v=v2beta1')}") == "v2beta1"
    assert discovery_form("application/json") == "legacy"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", Target("root")),
        ("api/v1", Target("resources", "", "v1")),
        ("apis/apps/v1/", Target("resources", "apps", "v1")),
        ("api/v1/namespaces", Target("objects", "", "v1", "namespaces")),
        ("api/v1/namespaces/x", Target("objects", "", "v1", "namespaces", "", "x")),
        ("api/v1/namespaces/x/status", Target("objects", "", "v1", "namespaces", "", "x", "status")),
        ("api/v1/namespaces/x/pods", Target("objects", "", "v1", "pods", "x")),
        (
            "apis/apps/v1/namespaces/x/deployments/y/scale",
            Target("objects", "apps", "v1", "deployments", "x", "y", "scale"),
        ),
        ("api/v1/nodes/n", Target("objects", "", "v1", "nodes", "", "n")),
    ],
)
def test_what_a_path_names(path: str, expected: Target) -> None:
    assert parse_path(path) == expected


@pytest.mark.parametrize(("path", "error"), [("openapi/v3", NotFound), ("api/v1/watch/pods", BadRequest)])
def test_paths_that_are_not_served(path: str, error: type[FleetpediaError]) -> None:
    with pytest.raises(error):
        parse_path(path)


def test_versions_are_ordered_as_kubernetes_does() -> None:
    wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert sorted(reversed(wanted), key=version_order) == wanted


def test_a_protobuf_review_is_read() -> None:
    attributes = b"\x0a\x04shop" + b"\x12\x03get" + b"\x2a\x04pods"
    spec = b"\x0a" + bytes([len(attributes)]) + attributes
    review = b"\x0a\x00" + b"\x12" + bytes([len(spec)]) + spec
    data = b"k8s\x00" + b"\x0a\x00" + b"\x12" + bytes([len(review)]) + review
    found = _decoded("application/vnd.kubernetes.protobuf", data, "selfsubjectaccessreviews").spec.resource_attributes
    assert found
    assert (found.namespace, found.verb, found.resource) == ("shop", "get", "pods")


def test_a_review_of_another_content_type_is_415() -> None:
    with pytest.raises(UnsupportedMediaType):
        _decoded("application/yaml", b"", "selfsubjectreviews")


@given(st.binary(max_size=60), st.sampled_from(["selfsubjectaccessreviews", "selfsubjectrulesreviews"]))
def test_any_bytes_are_a_review_or_a_bad_request(data: bytes, resource: str) -> None:
    refused = ""
    try:
        _decoded("application/vnd.kubernetes.protobuf", b"k8s\x00" + data, resource)
    except BadRequest as error:
        refused = error.message
    assert not refused or "protobuf" in refused
