"""What is wrong is refused or set aside with a message that says what to do; the rest goes on."""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
import zstandard

from schema.body import bucket, cut
from schema.resource import ResourceType
from schema.wire import (
    CONTENT_TYPE,
    WIRE_VERSION,
    Ack,
    Announce,
    Announced,
    AnnouncedType,
    Batch,
    Delta,
    Hello,
    Mark,
    Upsert,
    Welcome,
    pack,
    unpack,
)
from tests.controlplane.kubeconfig import Context, write_kubeconfig
from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import free_port
from tests.controlplane.waiting import wait_until
from tests.e2e.fleet import FLEETPEDIA, Fleet, data_folder, run, start, throw_away
from tests.e2e.member import config_map
from tests.e2e.production import Production

READ_ALL_BUT_SECRETS = [
    {"apiGroups": [""], "resources": ["configmaps", "pods", "services", "namespaces", "nodes"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
]


def says(text: str, *words: str) -> None:
    """All words are there, and no stack trace is."""
    for word in words:
        assert word.lower() in text.lower(), f"{word!r} is not in: {text}"
    assert "Traceback" not in text, text


# -- up: what cannot begin ----
@pytest.fixture
def folder() -> Iterator[Path]:
    made = data_folder()
    yield made
    throw_away(made)


def test_a_kubeconfig_that_is_not_there(folder: Path) -> None:
    _, result = start("--kubeconfig", "/no/such/kubeconfig", "--context", "c1", data=folder, timeout=20)
    assert result.code != 0
    says(result.err, "/no/such/kubeconfig")


def test_a_kubeconfig_that_is_no_yaml(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{[")
    _, result = start("--kubeconfig", tmp_path / "config", "--context", "c1", data=folder, timeout=20)
    assert result.code != 0
    says(result.err, str(tmp_path / "config"))


def test_a_context_that_is_not_in_the_kubeconfig_names_those_that_are(
    folder: Path, two_planes_kubeconfig: Path
) -> None:
    _, result = start("--kubeconfig", two_planes_kubeconfig, "--context", "c7", data=folder, timeout=20)
    assert result.code != 0
    says(result.err, "c7", "c1", "c2")


@pytest.mark.parametrize("name", ["fleet", "flat", "Not_A_Label"])
def test_a_name_that_no_cluster_may_have(folder: Path, two_planes_kubeconfig: Path, name: str) -> None:
    _, result = start("--kubeconfig", two_planes_kubeconfig, "--context", f"c1={name}", data=folder, timeout=20)
    assert result.code != 0
    says(result.err, name)


def test_a_second_up_on_one_folder_names_the_process_that_has_it(fleet: Fleet, two_planes_kubeconfig: Path) -> None:
    agents = fleet.pid("agent-c1")
    _, result = start("--kubeconfig", two_planes_kubeconfig, "--context", "c1", data=fleet.data, timeout=20)
    assert result.code != 0
    commands = [Path(f"/proc/{pid}/cmdline") for pid in re.findall(r"\d+", result.err)]
    assert any(command.exists() and "up" in command.read_text().split("\0") for command in commands), result.err
    says(result.err, "fleetpedia down")
    assert fleet.pid("agent-c1") == agents
    assert fleet.client.ask("/readyz").status == 200


def test_a_port_in_use_is_named(folder: Path, two_planes_kubeconfig: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments: list[str | Path] = ["--kubeconfig", two_planes_kubeconfig, "--context", "c1", "--listen", address]
        _, result = start(*arguments, data=folder, timeout=20)
        assert result.code != 0
        says(result.err, str(taken.getsockname()[1]), "use")


def test_a_database_that_does_not_answer_is_waited_for_and_named_without_its_password(folder: Path) -> None:
    port = free_port()
    database = f"postgresql://somebody:hush@127.0.0.1:{port}/fleet"
    log = folder / "serve.log"
    command = [FLEETPEDIA, "serve", "--data", folder, "--listen", "127.0.0.1:0", "--database", database]
    with log.open("wb") as output:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_until(lambda: str(port) in log.read_text(), "it says what it waits for", timeout=30, explain=log.read_text)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(20) == 0
    says(log.read_text(), "database", "127.0.0.1")
    assert "hush" not in log.read_text()


# -- members that cannot be read ----
@dataclass(frozen=True)
class Mixed:
    """One `up` with four members: a good one, one that may not read Secrets, one that is the good one once more, and
    one that nobody answers for."""

    data: Path
    fleet: Fleet
    up: str


@pytest.fixture(scope="module")
def mixed(two_planes: tuple[ControlPlane, ControlPlane], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    good, other = two_planes
    _grant(other)
    contexts = [
        Context("good", good.url, good.ca, good.admin),
        Context("limited", other.url, other.ca, other.user("limited")),
        Context("again", good.url, good.ca, good.admin),
        Context("nobody", f"https://127.0.0.1:{free_port()}", good.ca, good.admin),
    ]
    kubeconfig = write_kubeconfig(tmp_path_factory.mktemp("mixed") / "kubeconfig", contexts)
    named = [word for context in contexts for word in ("--context", context.name)]
    folder, result = start("--kubeconfig", kubeconfig, *named, timeout=15)
    try:
        assert result.code != 0, str(result)
        fleet = Fleet(folder, {"url": (folder / "endpoint").read_text().strip(), "clusters": []})
        yield Mixed(folder, fleet, result.err)
    finally:
        throw_away(folder)


def _grant(plane: ControlPlane) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    plane.api.create(f"{rbac}/clusterroles", {"metadata": {"name": "limited"}, "rules": READ_ALL_BUT_SECRETS})
    subject = {"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "limited"}, "roleRef": role, "subjects": [subject]}
    plane.api.create(f"{rbac}/clusterrolebindings", binding)


def test_up_names_each_member_that_is_not_in_sync_and_why(mixed: Mixed) -> None:
    says(mixed.up, "nobody", "again")


def test_an_unreachable_member_shows_its_reason_and_the_others_go_on(mixed: Mixed) -> None:
    view = mixed.fleet.cluster("nobody")
    assert view["phase"] in ("Pending", "Stale", "Degraded")
    says(json.dumps(view), "127.0.0.1")
    status = mixed.fleet.run("status", ok=(0, 1))
    says(status.out + status.err, "nobody")
    assert mixed.fleet.cluster("good")["phase"] == "Ready"
    mixed.fleet.verify("--cluster", "good")


def test_a_type_that_is_denied_shows_its_reason_and_the_others_go_on(mixed: Mixed) -> None:
    types = mixed.fleet.types("limited")
    assert types["secrets"]["state"] == "Denied"
    says(types["secrets"]["reason"], "secrets", "limited")
    assert types["configmaps"]["state"] == types["deployments.apps"]["state"] == "Synced"
    found = mixed.fleet.search("cluster:limited kind:configmap name:kube-root-ca.crt ns:default")
    assert len(found) == 1
    status = mixed.fleet.run("status", ok=(0, 1))
    says(status.out, "secrets", "Denied")


def test_a_denied_type_that_is_granted_later_comes_in(
    mixed: Mixed, two_planes: tuple[ControlPlane, ControlPlane]
) -> None:
    plane = two_planes[1]
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/limited"
    more = [*READ_ALL_BUT_SECRETS, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}]
    plane.api.patch(path, {"rules": more})
    mixed.fleet.wait_until(
        lambda: mixed.fleet.types("limited")["secrets"]["state"] == "Synced", "secrets are synced", timeout=70
    )


def test_one_cluster_under_two_names_is_refused_and_says_what_to_do(mixed: Mixed) -> None:
    refused = [name for name in ("good", "again") if mixed.fleet.cluster(name)["phase"] != "Ready"]
    assert len(refused) == 1
    [other] = {"good", "again"} - set(refused)
    text = json.dumps(mixed.fleet.cluster(refused[0])) + mixed.fleet.explain()
    says(text, other, "--allow-clone")
    assert mixed.fleet.search(f"cluster:{refused[0]}") == []


# -- questions that cannot be understood ----
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/fleet/api/v1/pods?size=1", ("size",)),
        ("/fleet/api/v1/pods?shardSelector=a", ("shardSelector",)),
        ("/fleet/clusters/c1/api/v1/pods?Limit=1", ("Limit", "limit")),
        ("/fleet/api/v1/pods?limit=many", ("limit", "many")),
        ("/fleet/api/v1/pods?limit=-1", ("limit",)),
        ("/fleet/api/v1/pods?labelSelector=a%20in%20(", ("a in (",)),
        ("/fleet/api/v1/pods?labelSelector=a%3D%3D%3Db", ("a===b",)),
        ("/fleet/api/v1/pods?fieldSelector=metadata.name%3E1", ("metadata.name>1",)),
        ("/fleet/api/v1/pods?continue=nonsense", ("continue",)),
        ("/fleet/api/v1/pods?resourceVersion=x", ("resourceVersion",)),
        ("/fleet/api/v1/pods?labelSelector=fleetpedia.io%2Fcluster%3Dnowhere", ("nowhere",)),
        ("/api/v1/search?q=kind:pod&size=1", ("size",)),
        ("/api/v1/search?q=status>", ("status",)),
        ("/api/v1/search?q=nonsense:pod", ("nonsense",)),
        ("/api/v1/search?q=kind:pod&limit=-5", ("limit",)),
        ("/api/v1/search?q=kind:pod&count=perhaps", ("count", "exact")),
        ("/api/v1/search?q=kind:pod&next=nonsense", ("token",)),
        ("/api/v1/search?q=cluster:nowhere", ("nowhere",)),
    ],
)
def test_a_question_that_is_not_understood_is_400_and_names_what(
    fleet: Fleet, path: str, words: tuple[str, ...]
) -> None:
    answer = fleet.client.ask(path)
    assert answer.status == 400, answer.text
    body = answer.json()
    message = body.get("message") or body.get("detail")
    assert message, body
    says(message, *words)
    if path.startswith("/fleet"):
        assert (body["kind"], body["reason"], body["code"]) == ("Status", "BadRequest", 400)


def test_what_is_not_there_is_404_and_what_is_not_meant_to_be_written_405(fleet: Fleet) -> None:
    for path in (
        "/fleet/api/v1/nothings",
        "/fleet/apis/no.such.group/v1/things",
        "/fleet/clusters/nowhere/api/v1/pods",
    ):
        answer = fleet.client.ask(path)
        assert (answer.status, answer.json()["reason"]) == (404, "NotFound"), answer.text
    says(fleet.client.ask("/fleet/clusters/nowhere/api/v1/pods").text, "nowhere")
    leases = fleet.client.ask("/fleet/apis/coordination.k8s.io/v1/leases")
    assert leases.status == 404
    says(leases.text, "policy")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = fleet.client.ask("/fleet/api/v1/namespaces/default/configmaps", method=method, body=b"{}")
        assert (answer.status, answer.json()["reason"]) == (405, "MethodNotAllowed"), answer.text
        says(answer.text, "read-only", "--context")


# -- credentials ----
def test_no_token_and_a_wrong_one_are_401(fleet: Fleet) -> None:
    for token in ("", "wrong", fleet.token + "x"):
        for path in ("/fleet/api/v1/pods", "/api/v1/search?q=kind:pod", "/api/v1/clusters"):
            answer = fleet.client_as(token).ask(path)
            assert answer.status == 401, answer.text
            says(answer.text, "token")


def test_a_token_ends_with_its_time_and_says_so(fleet: Fleet) -> None:
    token = fleet.run("tokens", "create", "short-lived", "--role", "viewer", "--ttl", "2s").out.strip()
    client = fleet.client_as(token)
    assert client.ask("/fleet/api/v1/pods?limit=1").status == 200
    fleet.wait_until(lambda: client.ask("/fleet/api/v1/pods?limit=1").status == 401, "it has expired", timeout=8)
    says(client.ask("/fleet/api/v1/pods?limit=1").text, "token")


def test_a_revoked_token_is_refused_within_seconds(fleet: Fleet) -> None:
    token = fleet.run("tokens", "create", "taken-back").out.strip()
    client = fleet.client_as(token)
    assert client.ask("/api/v1/clusters").status == 200
    fleet.run("tokens", "revoke", "taken-back")
    fleet.wait_until(lambda: client.ask("/api/v1/clusters").status == 401, "it is refused", timeout=4)
    refused = run(FLEETPEDIA, "search", "kind:pod", "--server", fleet.url, "--ca", fleet.ca, "--token", token)
    assert refused.code != 0
    says(refused.err, "token")


def test_an_agents_credential_opens_nothing_else_and_a_persons_token_no_session(production: Production) -> None:
    with Wired.registered(production, "wire-roles") as wired:
        assert production.client_as(wired.token).ask("/api/v1/search?q=kind:pod").status in (401, 403)
        answer = production.client.ask("/agent/v1/session", method="POST", body=pack(wired.hello()))
        assert answer.status in (401, 403)


# -- objects that cannot be stored ----
class Wired:
    """An agent by hand: one session on the wire, one type."""

    TYPE = ResourceType("demo.example.org", "v1", "oddities", "Oddity", True, "oddity", verbs=("get", "list", "watch"))

    def __init__(self, production: Production, cluster: str, token: str) -> None:
        self.production = production
        self.cluster = cluster
        self.token = token
        self._client = production.client_as(token)
        self._sent = 0
        self._uid = secrets.token_hex(8)

    @classmethod
    def registered(cls, production: Production, cluster: str) -> _Registered:
        return _Registered(production, cluster)

    def hello(self) -> Hello:
        return Hello(WIRE_VERSION, "test", secrets.token_hex(8), self._uid)

    def open(self) -> None:
        self.epoch = unpack(self._post("session", pack(self.hello())), Welcome).epoch
        announced = self._post("types", pack(Announce(self.epoch, [AnnouncedType(self.TYPE, "shape")], complete=True)))
        self.type = unpack(announced, Announced).types[0].id
        self._sent = 0

    def push(self, *deltas: Delta) -> Ack:
        """One batch; the type is in sync with it."""
        batch = Batch(self.epoch, self._sent + 1, list(deltas), [Mark(self.type, "1", True, "shape")])
        self._sent += len(deltas)
        return unpack(self._post("push", pack(batch)), Ack)

    def object(self, name: str, raw: bytes | None = None, body: bytes | None = None) -> Upsert:
        """`raw`: the object's JSON; `body`: what is sent in its place."""
        metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"}
        made = cut(raw or json.dumps({"metadata": metadata}).encode(), "demo.example.org/v1", "Oddity")
        content = made.body if body is None else body
        frame = zstandard.ZstdCompressor(write_content_size=True).compress(content)
        return Upsert(
            type=self.type,
            namespace="default",
            name=name,
            uid=f"uid-{name}",
            resource_version="1",
            fingerprint=hash(name) & 0xFFFF,
            bucket=bucket("default", name),
            created=0,
            owners=[],
            labels=[],
            fields=[],
            status="",
            cells=b'["x"]',
            layout=list(made.layout),
            size=len(content),
            lossy=False,
            body=frame,
            seen=0.0,
        )

    def _post(self, path: str, body: bytes) -> bytes:
        answer = self._client.ask(f"/agent/v1/{path}", method="POST", body=body, headers={"Content-Type": CONTENT_TYPE})
        assert answer.status == 200, f"{path}: {answer.status} {answer.text}"
        return answer.body


class _Registered:
    """A cluster in the store, with its credential from its manifest; removed at the end."""

    def __init__(self, production: Production, cluster: str) -> None:
        self._production = production
        self._cluster = cluster

    def __enter__(self) -> Wired:
        text = self._production.run("clusters", "manifest", self._cluster).out
        [secret] = [d for d in yaml.safe_load_all(text) if d and d["kind"] == "Secret"]
        token = next(value for key, value in secret["stringData"].items() if "token" in key)
        return Wired(self._production, self._cluster, token)

    def __exit__(self, *_: object) -> None:
        self._production.run("clusters", "remove", self._cluster)


def test_bad_objects_of_a_batch_are_set_aside_with_their_reasons_and_the_rest_commits(production: Production) -> None:
    with Wired.registered(production, "wired") as wired:
        wired.open()
        big = secrets.token_hex(2 * 1024 * 1024)
        too_large = json.dumps({"metadata": {"name": "large"}, "data": big}).encode()
        ack = wired.push(
            wired.object("good-1"),
            wired.object("large", body=too_large),
            wired.object("no-json", body=b'{"metadata": {"name": "no-json", '),
            wired.object("good-2"),
        )
        assert ack.acked == 4
        reasons = {rejected.sequence: rejected.reason for rejected in ack.rejected}
        assert set(reasons) == {2, 3}
        says(reasons[2], "bytes")
        says(reasons[3], "JSON")
        rows = production.sql(
            "select o.name from fleet.object o join fleet.cluster c on c.id = o.cluster_id "
            "where c.name = 'wired' order by 1"
        )
        assert rows == [("good-1",), ("good-2",)]
        entry = production.types("wired")["oddities.demo.example.org"]
        assert "2" in entry["reason"], entry
        assert production.metric("fleetpedia_rejected_objects_total", cluster="wired") == 2
        # It gets well: the same key with a body that can be stored takes the place of what was set aside.
        assert wired.push(wired.object("no-json")).rejected == []
        assert production.sql(
            "select count(*) from fleet.rejected r join fleet.cluster c on c.id = r.cluster_id where c.name = 'wired'"
        ) == [(1,)]


def test_a_batch_that_is_no_batch_is_400_and_ends_nothing(production: Production) -> None:
    with Wired.registered(production, "garbled") as wired:
        wired.open()
        client = production.client_as(wired.token)
        for body in (b"", b"nonsense", pack(wired.hello())):
            answer = client.ask("/agent/v1/push", method="POST", body=body, headers={"Content-Type": CONTENT_TYPE})
            assert answer.status == 400, answer.text
            says(answer.text, "message")
        assert wired.push(wired.object("still-works")).acked == 1


def test_nul_is_stored_and_marked_lossy_and_served_as_it_is(
    fleet: Fleet, two_planes: tuple[ControlPlane, ControlPlane], namespace: str
) -> None:
    plane = two_planes[0]
    plane.create_namespace(namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    odd = {"nul": "a\x00b", "plain": "c"}
    plane.api.create(path, config_map("odd", odd))
    fleet.wait_until(lambda: fleet.search(f"ns:{namespace} name:odd"), "it is found", timeout=5)
    assert fleet.client.get(f"/fleet/clusters/c1{path}/odd")["data"] == odd
    rows = fleet.sql(
        "select lossy, object -> 'data' ->> 'nul', object -> 'data' ->> 'plain' from fleet.object "
        "where namespace = $1 and name = 'odd'",
        namespace,
    )
    assert rows == [(True, "a\ufffdb", "c")]
    fleet.verify("--cluster", "c1", "--type", "configmaps")


# -- the database is away ----
def test_while_the_database_is_away_agents_wait_and_afterwards_nothing_is_lost(
    two_planes: tuple[ControlPlane, ControlPlane], namespace: str
) -> None:
    plane = two_planes[1]
    plane.create_namespace(namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with Production.started() as production:
        production.run("clusters", "add", "late", "--kubeconfig", plane.kubeconfig)
        production.wait_until(lambda: production.cluster("late")["phase"] == "Ready", "in sync", timeout=40)
        for number in range(20):
            plane.api.create(path, config_map(f"before-{number}"))
        production.wait_until(lambda: production.search(f"ns:{namespace} name:before-19"), "they are there")
        production.postgres.stop()
        for number in range(20):
            plane.api.create(path, config_map(f"during-{number}"))
            plane.api.delete(f"{path}/before-{number}")
        production.wait_until(lambda: production.client.ask("/readyz").status == 503, "it says that it is not ready")
        answer = production.client.ask("/fleet/api/v1/configmaps")
        assert answer.status == 503, answer.text
        says(answer.text, "database")
        assert production.client.ask("/livez").status == 200
        refused = production.run("search", "kind:configmap", ok=(3,))
        says(refused.err, "database")
        production.postgres.start()
        production.wait_until(lambda: production.client.ask("/readyz").status == 200, "it is ready again", timeout=30)
        production.wait_until(
            lambda: production.search(f"ns:{namespace} name:during-19"), "what was held back has come", timeout=40
        )
        production.verify("--cluster", "late")
        names = {item["name"] for item in production.search(f"ns:{namespace} kind:configmap", limit=100)}
        assert names == {f"during-{number}" for number in range(20)} | {"kube-root-ca.crt"}
