"""The API server is the judge: for every type that it lists, our columns and cells are those of its own Table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from schema.printing import Cell, decode_cells, encode_cells, render
from schema.resource import PrinterColumn
from schema.summary import Summary, columns_for, summariser
from tests.controlplane.api import Api, ApiError
from tests.controlplane.components import API_SERVER, ETCD
from tests.controlplane.pki import KeyPair
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until

NAMESPACE = "printing"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ALL_APIS = ["--runtime-config=api/all=true"]

# What the server serves but nobody can list with a printer of its own.
NOT_COMPARED = {("", "componentstatuses")}


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
    """Every listable resource, in the preferred version of its group."""
    versions = [("", "v1", "/api/v1")]
    for group in api.get("/apis")["groups"]:
        preferred = group["preferredVersion"]
        versions.append((group["name"], preferred["version"], f"/apis/{preferred['groupVersion']}"))
    found = []
    for group_name, version, path in versions:
        try:
            resources = api.get(path)["resources"]
        except ApiError as error:
            if error.status != 503:  # the aggregated API of printing_objects.yaml has no server
                raise
            continue
        statuses = {r["name"].removesuffix("/status") for r in resources if r["name"].endswith("/status")}
        found += [
            Resource(group_name, version, r["name"], r["kind"], r["namespaced"], r["name"] in statuses)
            for r in resources
            if "list" in r["verbs"]
        ]
    return found


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
    if status is not None:
        api.patch(f"{path}/{name}/status", {"status": status})
    if "test/delete" in body["metadata"].get("annotations", {}):
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
    return any(render(cell, moment) == wanted and is_of_kind(render(cell, moment), wanted) for moment in moments)


def is_of_kind(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted)


def summarise(api: Api, resource: Resource, body: dict[str, Any]) -> Summary:
    columns, selectable = crd_of(api, resource)
    prepared = summariser(resource.group, resource.name, resource.kind, columns, selectable)
    return prepared(json.dumps(body).encode())


def test_columns_and_cells_equal_the_servers_own_for_every_type(oracle: ControlPlane) -> None:
    tables = TableApi(oracle.url, oracle.ca, oracle.admin)
    differences: list[str] = []
    empty: list[str] = []
    rows = 0
    for resource in discover(oracle.api):
        if (resource.group, resource.name) in NOT_COMPARED:
            continue
        columns, selectable = crd_of(oracle.api, resource)
        start = time.time()
        table = json.loads(tables.text("GET", f"{resource.path()}?includeObject=Object"))
        end = time.time()
        where = f"{resource.name}.{resource.group}"
        ours = [
            (c.name, c.type, c.format, c.priority, c.description)
            for c in columns_for(resource.group, resource.name, columns)
        ]
        theirs = [
            (c["name"], c["type"], c["format"], c["priority"], c["description"]) for c in table["columnDefinitions"]
        ]
        if ours != theirs:
            differences.append(f"{where}: columns\n  ours   {ours}\n  theirs {theirs}")
        prepared = summariser(resource.group, resource.name, resource.kind, columns, selectable)
        if not table["rows"]:
            empty.append(where)
        for row in table["rows"]:
            rows += 1
            cells = decode_cells(encode_cells(prepared(json.dumps(row["object"]).encode()).cells))
            equal = len(cells) == len(row["cells"]) and all(
                is_one_of(cell, wanted, start, end) for cell, wanted in zip(cells, row["cells"], strict=True)
            )
            if not equal:
                name = row["object"]["metadata"]["name"]
                shown = [render(cell, end) for cell in cells]
                differences.append(f"{where} {name}:\n  ours   {shown}\n  theirs {row['cells']}")
    assert not differences, "\n".join(differences)
    assert not empty, f"no object of these types was compared: {', '.join(empty)}"
    assert rows > 200
