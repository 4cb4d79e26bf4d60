"""The simulator is held to a real kube-apiserver: the same questions to both give the same answers."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.controlplane.components import API_SERVER
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until

NAMESPACE = "conformance"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
WATCH_LIST = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.conformance.example.io"},
    "spec": {
        "group": "conformance.example.io",
        "scope": "Namespaced",
        "names": {
            "plural": "widgets",
            "singular": "widget",
            "kind": "Widget",
            "listKind": "WidgetList",
            "shortNames": ["wd"],
            "categories": ["things"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {"status": {}},
            }
        ],
    },
}
WIDGETS = f"/apis/conformance.example.io/v1/namespaces/{NAMESPACE}/widgets"

_PATTERNS = (
    (re.compile(r'"(resourceVersion|uid|creationTimestamp|continue|time)":"[^"]+"'), r'"\1":"…"'),
    (re.compile(r"current: \d+"), "current: …"),
    (re.compile(r"too old resource version: \d+ \(\d+\)"), "too old resource version: … (…)"),
)


def normal(text: str) -> str:
    """The text without what no two servers share: versions, uids, times, tokens."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Side:
    """One of the two servers."""

    name: str
    url: str
    tls: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict)

    def _open(
        self, method: str, path: str, body: Any, accept: str, content_type: str
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPSConnection(parts.netloc, context=self.tls, timeout=20)
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": "conformance", **self.headers}
        connection.request(method, parts.path + path, None if body is None else json.dumps(body), headers)
        return connection, connection.getresponse()

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> Answer:
        connection, response = self._open(method, path, body, accept, content_type)
        try:
            return Answer(response.status, response.headers["Content-Type"], response.read().decode())
        finally:
            connection.close()

    def lines(self, path: str, count: int) -> list[str]:
        """The first lines of a watch."""
        connection, response = self._open("GET", path, None, "application/json", "application/json")
        try:
            return [response.readline().decode() for _ in range(count)]
        finally:
            connection.close()

    def create(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        answer = self.ask(path, "POST", obj)
        assert answer.status == 201, answer
        created: dict[str, Any] = answer.json
        return created

    def merge(self, path: str, patch: dict[str, Any]) -> Answer:
        return self.ask(path, "PATCH", patch, content_type="application/merge-patch+json")


def secret(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels or {"n": name}},
        "data": {"a": "eA=="},
        "type": "Opaque",
    }


def _prepare(side: Side) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    side.create("/api/v1/namespaces", namespace)
    side.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    wait_until(lambda: side.ask(WIDGETS).status == 200, f"{side.name} serves widgets")
    for number in range(5):
        side.create(SECRETS, secret(f"s{number}"))


@pytest.fixture(scope="module")
def real_plane(controlplane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A plane of this module's own: one test restarts its API server."""
    with ControlPlane(tmp_path_factory.mktemp("conformance"), programs=controlplane_binaries) as plane:
        yield plane


@pytest.fixture(scope="module")
def real(real_plane: ControlPlane) -> Side:
    tls = ssl.create_default_context(cafile=str(real_plane.ca))
    tls.load_cert_chain(real_plane.admin.certificate, real_plane.admin.key)
    side = Side("the real server", real_plane.url, tls)
    _prepare(side)
    return side


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    kubeconfig = tmp_path_factory.mktemp("simulator") / "kubeconfig"
    command = [sys.executable, "-m", "simulator", "--objects", "300", "--kubeconfig", str(kubeconfig)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_until(kubeconfig.exists, "the simulator writes its kubeconfig")
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        token = config["users"][0]["user"]["token"]
        tls = ssl.create_default_context(cadata=authority)
        side = Side("the simulator", cluster["server"], tls, {"Authorization": f"Bearer {token}"})
        _prepare(side)
        yield side
    finally:
        process.terminate()
        assert process.wait(10) == 0, process.stderr and process.stderr.read()
        if process.stderr:
            process.stderr.close()


# -- discovery -------------------------------------------------------------------------------------------------------


def _entries(document: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (item["metadata"].get("name", ""), version["version"], entry["resource"]): entry
        for item in document["items"]
        for version in item["versions"]
        for entry in version["resources"]
    }


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_lists_the_same_types_in_the_same_words(real: Side, simulated: Side, path: str) -> None:
    ours, theirs = simulated.ask(path, accept=AGGREGATED), real.ask(path, accept=AGGREGATED)

    assert ours.content_type == theirs.content_type
    found, wanted = _entries(ours.json), _entries(theirs.json)
    assert {key: found.get(key) for key in wanted} == wanted
    groups = [item["metadata"] for item in theirs.json["items"]]
    assert [item["metadata"] for item in ours.json["items"] if item["metadata"] in groups] == groups


def test_discovery_by_group_version_lists_the_same_resources(real: Side, simulated: Side) -> None:
    groups = real.ask("/apis").json["groups"]
    paths = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    for path in paths:
        ours, theirs = simulated.ask(path), real.ask(path)
        wanted = theirs.json
        for entry in wanted["resources"]:
            entry.pop("storageVersionHash", None)
        assert ours.status == theirs.status
        assert ours.json == wanted, path
    for group in groups:
        path = f"/apis/{group['name']}"
        assert simulated.ask(path).json == real.ask(path).json


def test_the_version_has_the_same_fields(real: Side, simulated: Side) -> None:
    assert simulated.ask("/version").json.keys() == real.ask("/version").json.keys()


# -- refusals --------------------------------------------------------------------------------------------------------

FUTURE = 9_999_999_999_999_999
REFUSED = [
    "/nope",
    "/apis/nope",
    "/apis/nope/v1",
    "/apis/apps/v2",
    "/api/v1/nopes",
    "/api/v1/secrets/s1",
    "/api/v1/namespaces/default/nodes",
    "/api/v1/nodes/nope",
    f"{SECRETS}/nope",
    "/apis/apps/v1/namespaces/default/deployments/nope",
    f"{WIDGETS}/nope",
    "/apis/conformance.example.io/v2/widgets",
    "/apis/conformance.example.io/v1/nopes",
    f"{SECRETS}?fieldSelector=data.foo%3D1",
    "/api/v1/configmaps?fieldSelector=data.foo%3D1",
    "/api/v1/pods?fieldSelector=spec.foo%3D1",
    "/apis/apps/v1/deployments?fieldSelector=spec.foo%3D1",
    f"{WIDGETS}?fieldSelector=spec.foo%3D1",
    f"{SECRETS}?fieldSelector=abc",
    f"{SECRETS}?limit=abc",
    f"{SECRETS}?resourceVersion=abc",
    f"{SECRETS}?watch=1&resourceVersion=abc",
    f"{SECRETS}?resourceVersion=1&resourceVersionMatch=Foo",
    f"{SECRETS}?resourceVersionMatch=Exact",
    f"{SECRETS}?resourceVersion=0&resourceVersionMatch=Exact",
    f"{SECRETS}?resourceVersion={FUTURE}",
    f"{SECRETS}?sendInitialEvents=true",
    f"{SECRETS}?watch=1&sendInitialEvents=true",
    f"{SECRETS}?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
    f"{SECRETS}?watch=1&resourceVersionMatch=NotOlderThan",
    f"{SECRETS}?{WATCH_LIST}&resourceVersion={FUTURE}",
]


@pytest.mark.parametrize("path", REFUSED)
def test_what_the_real_server_refuses_is_refused_in_the_same_words(real: Side, simulated: Side, path: str) -> None:
    ours, theirs = simulated.ask(path), real.ask(path)

    assert (ours.status, ours.content_type) == (theirs.status, theirs.content_type)
    assert normal(ours.text) == normal(theirs.text)


@pytest.mark.parametrize(
    "query",
    ["continue=abc", "labelSelector=a%3D%3D%3Db", "labelSelector=a+in+b", "labelSelector=-a"],
)
def test_what_cannot_be_parsed_is_the_same_kind_of_error(real: Side, simulated: Side, query: str) -> None:
    ours, theirs = simulated.ask(f"{SECRETS}?{query}"), real.ask(f"{SECRETS}?{query}")

    assert ours.status == theirs.status == 400
    assert {**ours.json, "message": ""} == {**theirs.json, "message": ""}


def test_an_unknown_parameter_is_ignored_by_both(real: Side, simulated: Side) -> None:
    for side in (real, simulated):
        assert len(side.ask(f"{SECRETS}?foo=bar").json["items"]) == 5, side.name


# -- lists -----------------------------------------------------------------------------------------------------------


def _pages(side: Side, path: str, limit: int) -> list[dict[str, Any]]:
    pages = [side.ask(f"{path}?limit={limit}").json]
    while token := pages[-1]["metadata"].get("continue"):
        if len(pages) == 1:
            side.create(path, secret("s11"))
        pages.append(side.ask(f"{path}?limit={limit}&continue={token}").json)
    assert side.ask(f"{path}/s11", "DELETE").status == 200
    return pages


def test_pages_are_of_the_first_pages_version_and_count_what_remains(real: Side, simulated: Side) -> None:
    def seen(side: Side) -> Any:
        pages = _pages(side, SECRETS, 2)
        assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1
        return [
            (
                [item["metadata"]["name"] for item in page["items"]],
                page["metadata"].get("remainingItemCount"),
                list(page),
                list(page["metadata"]),
            )
            for page in pages
        ]

    assert seen(simulated) == seen(real)


def _without_managed(text: str) -> str:
    value = json.loads(text)
    for item in value.get("items", [value]):
        assert item["metadata"].pop("managedFields"), "a written object has managedFields"
    return normal(json.dumps(value, separators=(",", ":")))


def test_items_of_lists_have_their_keys_in_the_same_order(real: Side, simulated: Side) -> None:
    widget = {
        "apiVersion": "conformance.example.io/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "labels": {"z": "1", "a": "2"}},
        "spec": {"b": 1, "a": {"d": 1, "c": 2}},
    }
    for side in (real, simulated):
        side.create(WIDGETS, widget)
    for path in (SECRETS, WIDGETS, f"{SECRETS}/s1", f"{WIDGETS}/w", f"{SECRETS}?labelSelector=n%3Ds1"):
        assert _without_managed(simulated.ask(path).text) == _without_managed(real.ask(path).text), path


@pytest.mark.parametrize(
    "query",
    [
        *("labelSelector=n%3Ds1", "labelSelector=n%21%3Ds1", "labelSelector=n+in+(s1,s2)"),
        *("labelSelector=n+notin+(s1,s2)", "labelSelector=n", "labelSelector=!n", "labelSelector=n,n%21%3Ds3"),
        *("labelSelector=n+in+()", "labelSelector=a/b", "limit=-1", "resourceVersion=0"),
        *("fieldSelector=metadata.name%3Ds1", "fieldSelector=metadata.name%21%3Ds1", "fieldSelector=type%3DOpaque"),
        "fieldSelector=metadata.name%3Ds1,metadata.namespace%3Ddefault",
    ],
)
def test_selectors_select_the_same(real: Side, simulated: Side, query: str) -> None:
    def names(side: Side) -> list[str]:
        return [item["metadata"]["name"] for item in side.ask(f"{SECRETS}?{query}").json["items"]]

    assert names(simulated) == names(real)


def test_an_exact_version_shows_the_past(real: Side, simulated: Side) -> None:
    def past(side: Side) -> list[str]:
        version = side.ask(SECRETS).json["metadata"]["resourceVersion"]
        side.create(SECRETS, secret("later"))
        side.ask(f"{SECRETS}/later", "DELETE")
        side.ask(f"{SECRETS}/s0", "DELETE")
        answer = side.ask(f"{SECRETS}?resourceVersion={version}&resourceVersionMatch=Exact").json
        side.create(SECRETS, secret("s0"))
        assert answer["metadata"]["resourceVersion"] == version
        return [item["metadata"]["name"] for item in answer["items"]]

    assert past(simulated) == past(real)


# -- watches ---------------------------------------------------------------------------------------------------------


def _events(lines: list[str]) -> list[str]:
    events = []
    for line in lines:
        event = json.loads(line)
        event["object"].get("metadata", {}).pop("managedFields", None)
        events.append(normal(json.dumps(event, separators=(",", ":"))))
    return events


def test_a_watch_from_a_lists_version_shows_what_came_after(real: Side, simulated: Side) -> None:
    def seen(side: Side) -> list[str]:
        version = side.ask(SECRETS).json["metadata"]["resourceVersion"]
        side.create(SECRETS, secret("watched"))
        assert side.merge(f"{SECRETS}/watched", {"data": {"b": "eQ=="}}).status == 200
        assert side.merge(f"{SECRETS}/watched", {"data": {"b": "eQ=="}}).status == 200  # no change, no event
        side.ask(f"{SECRETS}/watched", "DELETE")
        lines = side.lines(f"{SECRETS}?watch=1&resourceVersion={version}", 3)
        versions = [int(json.loads(line)["object"]["metadata"]["resourceVersion"]) for line in lines]
        assert versions == sorted(set(versions)), f"{side.name}: the delete has a version of its own"
        return _events(lines)

    assert seen(simulated) == seen(real)


def test_a_watch_with_a_selector_sees_objects_enter_and_leave(real: Side, simulated: Side) -> None:
    def seen(side: Side) -> list[str]:
        version = side.ask(SECRETS).json["metadata"]["resourceVersion"]
        side.create(SECRETS, secret("moving", on="no"))
        for value in ("yes", "no"):
            side.merge(f"{SECRETS}/moving", {"metadata": {"labels": {"on": value}}})
        side.ask(f"{SECRETS}/moving", "DELETE")
        return _events(side.lines(f"{SECRETS}?watch=1&resourceVersion={version}&labelSelector=on%3Dyes", 2))

    assert seen(simulated) == seen(real)


def test_a_watch_list_ends_with_the_marked_bookmark(real: Side, simulated: Side) -> None:
    path = f"{SECRETS}?{WATCH_LIST}"
    assert _events(simulated.lines(path, 6)) == _events(real.lines(path, 6))


def test_a_bookmarks_object_is_the_same_for_every_type(real: Side, simulated: Side) -> None:
    served = _entries(real.ask("/api", accept=AGGREGATED).json) | _entries(real.ask("/apis", accept=AGGREGATED).json)
    different = []
    for (group, version, resource), entry in served.items():
        if "watch" not in entry["verbs"]:
            continue
        base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        path = f"{base}/{resource}?{WATCH_LIST}&labelSelector=no%3Done"
        ours, theirs = simulated.lines(path, 1), real.lines(path, 1)
        if _events(ours) != _events(theirs):
            different.append((path, _events(ours), _events(theirs)))
    assert different == []


def test_a_version_that_is_yet_to_come_gives_a_silent_watch(real: Side, simulated: Side) -> None:
    path = f"{SECRETS}?watch=1&resourceVersion={FUTURE}&timeoutSeconds=1&allowWatchBookmarks=true"
    for side in (real, simulated):
        answer = side.ask(path)
        assert (answer.status, answer.text) == (200, ""), side.name


# -- writes ----------------------------------------------------------------------------------------------------------


def test_writes_answer_alike(real: Side, simulated: Side) -> None:
    stale = {**secret("w"), "metadata": {"name": "w", "resourceVersion": "1"}}
    nameless = {**secret("w"), "metadata": {}}

    def answers(side: Side) -> list[Answer]:
        return [
            side.ask(SECRETS, "POST", secret("w")),
            side.ask(SECRETS, "POST", secret("w")),
            side.ask("/api/v1/namespaces/nope/secrets", "POST", secret("w")),
            side.ask(f"{SECRETS}/w", "PUT", stale),
            side.ask(SECRETS, "PUT", secret("w")),
            side.ask(SECRETS, "POST", nameless),
            side.merge(f"{SECRETS}/w", {"data": {"b": "eQ==", "a": None}}),
            side.ask(f"{SECRETS}/w", "DELETE"),
            side.ask(f"{SECRETS}/w", "DELETE"),
        ]

    def told(answer: Answer) -> tuple[int, str, str]:
        value = answer.json
        value.get("metadata", {}).pop("managedFields", None)
        return answer.status, answer.content_type, normal(json.dumps(value, separators=(",", ":")))

    assert [told(answer) for answer in answers(simulated)] == [told(answer) for answer in answers(real)]


def test_a_lease_can_be_made_and_renewed(real: Side, simulated: Side) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "agent"},
        "spec": {"holderIdentity": "me"},
    }

    def renewed(side: Side) -> tuple[int, str]:
        made = side.create(path, lease)
        made["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
        answer = side.ask(f"{path}/agent", "PUT", made)
        return answer.status, _without_managed(answer.text)

    assert renewed(simulated) == renewed(real)


# -- last: it restarts the API server --------------------------------------------------------------------------------


def test_a_version_that_is_forgotten_is_410_in_the_same_words(
    real: Side, simulated: Side, real_plane: ControlPlane
) -> None:
    """A restarted API server knows no changes from before."""

    def forgotten(side: Side) -> str:
        version = side.ask(SECRETS).json["metadata"]["resourceVersion"]
        side.create(SECRETS, secret("last"))
        if side is real:
            real_plane.kill(API_SERVER)
            real_plane.start(API_SERVER)
        else:
            port = urlsplit(side.url).netloc
            connection = http.client.HTTPSConnection(port, context=side.tls, timeout=5)
            connection.request("POST", "/_simulator/faults", json.dumps({"what": "expire"}))
            assert connection.getresponse().status == 200
            connection.close()
        (line,) = side.lines(f"{SECRETS}?watch=1&resourceVersion={version}", 1)
        return normal(line)

    assert forgotten(simulated) == forgotten(real)
