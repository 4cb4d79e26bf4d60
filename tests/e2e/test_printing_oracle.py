"""The API server is the judge: for every type that it lists, our columns and cells are those of its own Table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import yaml

from schema.fields import FIELDS
from schema.printing import PRINTERS, Cell, Column, decode_cells, encode_cells, render
from schema.resource import PrinterColumn
from schema.summary import Summary, columns_for, summariser
from tests.controlplane.api import Api, ApiError
from tests.controlplane.components import API_SERVER, ETCD
from tests.controlplane.pki import KeyPair
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until

NAMESPACE = "printing"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ALL_APIS = ["--runtime-config=api/all=true", "--feature-gates=AllAlpha=true,AllBeta=true"]

# Cannot be watched, and says of the control plane's own ports.
NOT_COMPARED = {("", "componentstatuses")}
# Needs a kubelet's signed proof: only the columns are compared.
WITHOUT_OBJECTS = {("certificates.k8s.io", "podcertificaterequests")}


class TableApi(Api):
    """Asks for Tables."""

    def __init__(self, server: str, ca: Path, client: KeyPair) -> None:
        super().__init__(server, ca, client)
        self._headers["Accept"] = TABLE


class Resource(msgspec.Struct):
    group: str
    version: str
    name: str
    kind: str
    namespaced: bool
    has_status: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.name

    @property
    def qualified(self) -> str:
        return f"{self.name}.{self.group}" if self.group else self.name

    def path(self, namespace: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{base}/namespaces/{namespace}/{self.name}" if self.namespaced and namespace else f"{base}/{self.name}"


@pytest.fixture(scope="module")
def oracle(controlplane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server without controllers, so that every status stays as it is put; with all APIs that it has."""
    folder = tmp_path_factory.mktemp("oracle")
    plane = ControlPlane(folder, programs=controlplane_binaries, extra={API_SERVER: ALL_APIS})
    try:
        plane.start(ETCD)
        plane.start(API_SERVER)
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for file in ("printing_objects.yaml", "printing_crds.yaml"):
            for body in yaml.safe_load((Path(__file__).parent / file).read_text()):
                make(plane.api, body)
        yield plane
    finally:
        plane.stop()


def discover(api: Api) -> list[Resource]:
    """Every listable resource, in the version that its group prefers of those that have it."""
    versions = [("", "v1", "/api/v1")]
    for group in api.get("/apis")["groups"]:
        preferred = group["preferredVersion"]
        by_preference = sorted(group["versions"], key=lambda version: bool(version != preferred))
        versions += [(group["name"], v["version"], f"/apis/{v['groupVersion']}") for v in by_preference]
    found: dict[tuple[str, str], Resource] = {}
    for group_name, version, path in versions:
        try:
            resources = api.get(path)["resources"]
        except ApiError as error:
            if error.status != 503:  # the aggregated API of printing_objects.yaml has no server
                raise
            continue
        statuses = {r["name"].removesuffix("/status") for r in resources if r["name"].endswith("/status")}
        for r in resources:
            if "list" in r["verbs"]:
                resource = Resource(group_name, version, r["name"], r["kind"], r["namespaced"], r["name"] in statuses)
                found.setdefault((group_name, r["name"]), resource)
    return list(found.values())


def find(api: Api, body: dict[str, Any]) -> Resource | None:
    group, _, version = body["apiVersion"].rpartition("/")
    path = f"/apis/{body['apiVersion']}" if group else f"/api/{version}"
    try:
        resources = api.get(path)["resources"]
    except ApiError:
        return None
    for r in resources:
        if r["kind"] == body["kind"] and "/" not in r["name"]:
            has_status = any(other["name"] == f"{r['name']}/status" for other in resources)
            return Resource(group, version, r["name"], r["kind"], r["namespaced"], has_status)
    return None


def make(api: Api, body: dict[str, Any]) -> None:
    wait_until(lambda: find(api, body) is not None, f"{body['apiVersion']} {body['kind']} is served")
    resource = find(api, body)
    assert resource is not None
    path = resource.path(NAMESPACE)
    name = body["metadata"]["name"]
    status = body.pop("status", None) if resource.has_status else None
    api.create(path, body)
    annotations = body["metadata"].get("annotations", {})
    if "test/approve" in annotations:
        approval = {"type": annotations["test/approve"], "status": "True", "reason": "Test"}
        api.patch(f"{path}/{name}/approval", {"status": {"conditions": [approval]}})
    if status is not None:
        api.patch(f"{path}/{name}/status", {"status": status})
    if "test/delete" in annotations:
        api.delete(f"{path}/{name}")


def crd_of(api: Api, resource: Resource) -> tuple[list[PrinterColumn] | None, list[str]]:
    """Printer columns and selectable fields; (None, []) for what is built in."""
    try:
        crd = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource.name}.{resource.group}")
    except ApiError as error:
        if error.status != 404:
            raise
        return None, []
    version = next(v for v in crd["spec"]["versions"] if v["name"] == resource.version)
    columns = [
        PrinterColumn(
            name=column["name"],
            type=column["type"],
            path=column["jsonPath"],
            format=column.get("format", ""),
            description=column.get("description", ""),
            priority=column.get("priority", 0),
        )
        for column in version.get("additionalPrinterColumns", [])
    ]
    return columns, [field["jsonPath"] for field in version.get("selectableFields", [])]


def is_one_of(cell: Cell, wanted: Any, start: float, end: float) -> bool:
    """The cell, rendered at some moment while the server made its own, give or take a second."""
    moments = [start - 1 + step / 4 for step in range(int((end - start + 2) * 4) + 2)]
    rendered = [render(cell, moment) for moment in moments]
    return any(value == wanted and type(value) is type(wanted) for value in rendered)


@dataclass
class Comparison:
    """What the server said of one type at one moment, and what we make of the same objects."""

    resource: Resource
    table: dict[str, Any]
    start: float
    end: float
    columns: tuple[Column, ...]
    summaries: list[Summary]

    def differences(self) -> Iterator[str]:
        where = self.resource.qualified
        ours = [(c.name, c.type, c.format, c.priority, c.description) for c in self.columns]
        keys = ("name", "type", "format", "priority", "description")
        theirs = [tuple(column[key] for key in keys) for column in self.table["columnDefinitions"]]
        if ours != theirs:
            yield f"{where}: columns\n  ours   {ours}\n  theirs {theirs}"
        for row, summary in zip(self.table["rows"], self.summaries, strict=True):
            cells = decode_cells(encode_cells(summary.cells))
            if len(cells) != len(row["cells"]) or not all(
                is_one_of(cell, wanted, self.start, self.end) for cell, wanted in zip(cells, row["cells"], strict=True)
            ):
                shown = [render(cell, self.end) for cell in cells]
                yield f"{where} {row['object']['metadata']['name']}:\n  ours   {shown}\n  theirs {row['cells']}"


def compare(plane: ControlPlane, resource: Resource) -> Comparison:
    columns, selectable = crd_of(plane.api, resource)
    summarise = summariser(resource.group, resource.name, resource.kind, columns, selectable)
    start = time.time()
    # The objects come with the Table: both are of the same instant.
    answer = TableApi(plane.url, plane.ca, plane.admin).text("GET", f"{resource.path()}?includeObject=Object")
    end = time.time()
    table = json.loads(answer)
    summaries = [summarise(json.dumps(row["object"]).encode()) for row in table["rows"]]
    return Comparison(resource, table, start, end, columns_for(resource.group, resource.name, columns), summaries)


def test_columns_and_cells_equal_the_servers_own_for_every_type(oracle: ControlPlane) -> None:
    compared = [compare(oracle, r) for r in discover(oracle.api) if r.key not in NOT_COMPARED]
    differences = [difference for comparison in compared for difference in comparison.differences()]
    assert not differences, "\n".join(differences)
    empty = [c.resource.qualified for c in compared if not c.table["rows"] and c.resource.key not in WITHOUT_OBJECTS]
    assert not empty, f"no object of these types was compared: {', '.join(empty)}"
    assert len(compared) >= 70


def test_every_printer_has_a_type_that_the_server_serves(oracle: ControlPlane) -> None:
    served = {resource.key for resource in discover(oracle.api)}
    assert set(PRINTERS) <= served, f"printers of types that this server does not have: {set(PRINTERS) - served}"


def test_field_selectors_select_the_same_objects_as_the_servers_own(oracle: ControlPlane) -> None:
    wrong: list[str] = []
    pairs = 0
    for resource in discover(oracle.api):
        if resource.key in NOT_COMPARED:
            continue
        comparison = compare(oracle, resource)
        selected: dict[str, set[str]] = {}
        for row, summary in zip(comparison.table["rows"], comparison.summaries, strict=True):
            for pair in summary.fields:
                selected.setdefault(pair, set()).add(row["object"]["metadata"]["uid"])
        for pair, ours in selected.items():
            pairs += 1
            path, _, value = pair.partition("=")
            selector = quote(f"{path}={_escaped(value)}")
            items = oracle.api.get(f"{resource.path()}?fieldSelector={selector}")["items"]
            if ours != {item["metadata"]["uid"] for item in items}:
                wrong.append(f"{resource.qualified} {pair}")
    assert not wrong
    assert pairs > 100


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def test_fields_that_are_listed_are_those_that_summaries_hold(oracle: ControlPlane) -> None:
    for resource in discover(oracle.api):
        for summary in compare(oracle, resource).summaries if resource.key in FIELDS else ():
            assert tuple(pair.partition("=")[0] for pair in summary.fields) == FIELDS[resource.key]
