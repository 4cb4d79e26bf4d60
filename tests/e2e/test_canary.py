"""What a Secret holds is nowhere outside its member: wire, database, WAL, logs."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from schema.errors import FleetpediaError
from schema.wire import Batch, Upsert, inflate, unpack
from tests.controlplane.plane import ControlPlane
from tests.e2e.fleet import run
from tests.e2e.member import config_map
from tests.e2e.pod import installed
from tests.e2e.production import Production
from tests.e2e.recorder import Recorder, recording

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Canaries:
    """`secret` values must be found nowhere. `open` stands in a ConfigMap: a search that misses it proves nothing."""

    secret: tuple[str, ...]
    open: str


@dataclass(frozen=True)
class Sung:
    """What there is to search after both were synced, changed, and the aggregator was asked for them."""

    canaries: Canaries
    wire: Recorder
    production: Production
    agent_log: Path


def spellings(text: str) -> list[bytes]:
    """The bytes, their hex, and their base64 at each of the three places at which they can begin in a longer text."""
    raw = text.encode()
    forms = [raw, raw.hex().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\x00" * shift + raw)
        # The first and last characters also depend on the neighbours.
        forms.append(encoded[(shift * 8 + 5) // 6 : -4])
    return forms


def found(text: str, places: Iterable[tuple[str, bytes]]) -> list[str]:
    forms = spellings(text)
    return [name for name, content in places if any(form in content for form in forms)]


@pytest.fixture(scope="module")
def sung(
    production: Production,
    plane: ControlPlane,
    kubectl137: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sung]:
    folder = tmp_path_factory.mktemp("canary")
    canaries = Canaries(tuple(f"canary{secrets.token_hex(20)}" for _ in range(5)), f"canary{secrets.token_hex(20)}")
    plane.create_namespace("canary")
    path = "/api/v1/namespaces/canary/secrets"
    encoded = base64.b64encode(canaries.secret[0].encode()).decode()
    plane.api.create(path, {"metadata": {"name": "by-data"}, "data": {"key": encoded}})
    plane.api.create(path, {"metadata": {"name": "by-string"}, "stringData": {"key": f"a {canaries.secret[1]} z"}})
    _apply(plane, kubectl137, folder, canaries.secret[2])
    typed = {".dockerconfigjson": json.dumps({"auths": {"registry": {"auth": canaries.secret[3]}}})}
    plane.api.create(
        path, {"metadata": {"name": "typed"}, "type": "kubernetes.io/dockerconfigjson", "stringData": typed}
    )
    plane.api.create("/api/v1/namespaces/canary/configmaps", config_map("open", {"key": canaries.open}))
    with (
        recording(production.url, production.ca, folder / "recorder") as wire,
        installed(production, plane, "canary", folder, through=wire) as agent,
    ):
        production.wait_until(
            lambda: production.cluster("canary")["phase"] == "Ready", "the member is in sync", timeout=40
        )
        # By watch as well as by list: a change, a new one, a delete whose last state the change log keeps.
        later = base64.b64encode(canaries.secret[4].encode()).decode()
        plane.api.patch(f"{path}/by-data", {"data": {"later": later}})
        plane.api.delete(f"{path}/by-string")
        plane.api.create("/api/v1/namespaces/canary/configmaps", config_map("last", {"key": canaries.open}))
        production.wait_until(lambda: production.search("ns:canary name:last"), "all of it has come")
        production.wait_until(lambda: not production.search("ns:canary name:by-string"), "the delete has come")
        for name in ("by-data", "applied", "typed"):
            production.client.get(f"/fleet/clusters/canary{path}/{name}")
        production.run("verify", "--cluster", "canary")
        yield Sung(canaries, wire, production, agent.log)


def _apply(plane: ControlPlane, kubectl: Path, folder: Path, canary: str) -> None:
    """Client-side apply writes the whole object into an annotation, values included."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "applied", "namespace": "canary"},
        "stringData": {"key": canary},
        "data": {"other": base64.b64encode(canary.encode()).decode()},
    }
    file = folder / "secret.json"
    file.write_text(json.dumps(body))
    applied = run(kubectl, "--kubeconfig", plane.kubeconfig, "apply", "-f", file)
    assert applied.code == 0, str(applied)


# -- places ---------------------------------------------------------------------------------------------------------
def on_the_wire(recorder: Recorder) -> Iterator[tuple[str, bytes]]:
    """Every request and answer: as sent, inflated, and each body in it inflated once more."""
    for number, exchange in enumerate(list(recorder.exchanges)):
        for side, content in (("request", exchange.request), ("response", exchange.response)):
            name = f"{side} {number} {exchange.path}"
            yield name, content
            if content.startswith(ZSTD_MAGIC):
                yield f"{name} inflated", inflate(content)
        if exchange.path.endswith("/push"):
            batch = unpack(exchange.request, Batch)
            for delta in batch.deltas:
                if isinstance(delta, Upsert):
                    yield f"push {number} body of {delta.namespace}/{delta.name}", inflate(delta.body)


def in_the_database(production: Production) -> Iterator[tuple[str, bytes]]:
    """Every row of every table as text, and every binary value, inflated where it can be."""
    tables = production.sql("select table_name from information_schema.tables where table_schema = 'fleet'")
    for (table,) in tables:
        for number, (text,) in enumerate(production.sql(f'select t::text from fleet."{table}" t')):
            yield f"{table} row {number}", text.encode()
        columns = production.sql(
            "select column_name from information_schema.columns "
            "where table_schema = 'fleet' and table_name = $1 and data_type = 'bytea'",
            table,
        )
        for (column,) in columns:
            values = production.sql(f'select "{column}" from fleet."{table}" where "{column}" is not null')
            for number, (value,) in enumerate(values):
                yield f"{table}.{column} {number}", _inflated(value)


def _inflated(value: bytes) -> bytes:
    if not value.startswith(ZSTD_MAGIC):
        return value
    try:
        return inflate(value)
    except (FleetpediaError, zstandard.ZstdError):
        return value


def in_files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        files = [folder] if folder.is_file() else [file for file in folder.rglob("*") if file.is_file()]
        for file in files:
            yield str(file), file.read_bytes()


# -- tests ----------------------------------------------------------------------------------------------------------
def nowhere(sung: Sung, places: list[tuple[str, bytes]]) -> None:
    for canary in sung.canaries.secret:
        assert found(canary, places) == []


def test_no_value_of_a_secret_is_on_the_wire(sung: Sung) -> None:
    places = list(on_the_wire(sung.wire))
    assert found(sung.canaries.open, places), "the search does not even find what is openly there"
    nowhere(sung, places)


def test_no_value_of_a_secret_is_in_the_database(sung: Sung) -> None:
    places = list(in_the_database(sung.production))
    assert found(sung.canaries.open, [place for place in places if place[0].startswith("object row")])
    assert found(sung.canaries.open, [place for place in places if place[0].startswith("object.body")])
    nowhere(sung, places)


def test_no_value_of_a_secret_is_in_the_files_of_the_database(sung: Sung) -> None:
    """WAL and heap, raw: also what rows held for a moment only."""
    sung.production.sql("checkpoint")
    data = sung.production.postgres.data
    wal = list(in_files(data / "pg_wal"))
    assert found(sung.canaries.open, wal), "the WAL holds not even what is openly there"
    nowhere(sung, wal)
    nowhere(sung, list(in_files(data / "base", sung.production.postgres.folder / "log")))


def test_no_value_of_a_secret_is_in_a_log(sung: Sung) -> None:
    logs = list(in_files(sung.production.data / "log", sung.agent_log))
    assert any(content for _, content in logs)
    nowhere(sung, logs)


def test_a_secret_is_served_with_its_keys_and_without_its_values(sung: Sung) -> None:
    client = sung.production.client
    served = client.get("/fleet/clusters/canary/api/v1/namespaces/canary/secrets/by-data")
    assert served["data"] == {"key": "", "later": ""}
    assert served["type"] == "Opaque"
    table = client.table("/fleet/clusters/canary/api/v1/namespaces/canary/secrets")
    counts = {row["cells"][1]: row["cells"][3] for row in table["rows"]}
    assert counts == {"by-data": 2, "applied": 2, "typed": 1}


def test_the_spellings_find_a_value_inside_a_longer_one() -> None:
    for prefix in ("", "a", "ab", "abc"):
        whole = f"{prefix}the canary sings".encode()
        for content in (whole, whole.hex().encode(), base64.b64encode(whole), base64.b64encode(whole + b"more")):
            assert found("canary", [("place", content)]) == ["place"]
