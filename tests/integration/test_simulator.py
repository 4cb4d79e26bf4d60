"""The simulator against itself: what it holds, how it changes, and what goes wrong on request."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from simulator.__main__ import main
from simulator.faults import parse_fault
from simulator.fleet import Fleet, MemberHandle, Settings
from simulator.population import Population, Templates
from simulator.rows import Identity
from tests.integration.waiting import until

Body = dict[str, Any]
BORN = 1_795_545_000
OBJECTS = 600


class Client:
    """Asks one member as the agent would."""

    def __init__(self, session: aiohttp.ClientSession, member: MemberHandle) -> None:
        self._session = session
        self._member = member
        self.headers = {"Authorization": f"Bearer {member.token}"}

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        url = self._member.url + path
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {**self.headers, "Content-Type": "application/json"}
        async with self._session.request(method, url, headers=headers, data=data) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    async def listed(self, path: str) -> Body:
        code, answer = await self.ask(path)
        assert code == 200, answer
        assert isinstance(answer, dict)
        return answer

    async def watch(self, path: str) -> list[Body]:
        """All events until the server ends the watch."""
        return [event async for event in self.events(path)]

    async def events(self, path: str) -> AsyncIterator[Body]:
        async with self._session.get(self._member.url + path, headers=self.headers, read_bufsize=1 << 20) as response:
            assert response.status == 200
            async for line in response.content:
                yield json.loads(line)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(Settings(names=("east", "west"), clusters=2, objects=OBJECTS, tls=False), tmp_path / "kc") as it:
        yield it


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, fleet["east"])


def keyed(objects: list[Body]) -> dict[tuple[str, str], Body]:
    """By namespace and name, without what only watch events and single objects have."""
    return {
        (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): {
            key: value for key, value in obj.items() if key not in ("kind", "apiVersion")
        }
        for obj in objects
    }


def config_map(name: str, **data: str) -> Body:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


# -- what a member holds ---------------------------------------------------------------------------------------------


def test_a_population_has_as_many_objects_as_asked_each_valid_and_with_uids_of_its_own() -> None:
    population = Population(Templates(7, 6000), 0, 2000, BORN)
    identity = Identity(12345678901234567890)

    bodies = [json.loads(b"{" + row.body(identity, 1)) for found in population.sets.values() for row in found.rows]

    assert len(bodies) == population.count == 2000
    assert len({body["metadata"]["uid"] for body in bodies}) == 2000
    assert all(body["metadata"]["managedFields"] for body in bodies)


def test_owners_of_pods_exist_and_are_of_the_kind_that_is_said(fleet: Fleet) -> None:
    member = fleet["east"]
    kinds = {"ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
    owners = {
        obj["metadata"]["uid"]: (kind, obj["metadata"]["name"])
        for kind, resource in kinds.items()
        for obj in member.objects("apps", resource)
    } | {obj["metadata"]["uid"]: ("Job", obj["metadata"]["name"]) for obj in member.objects("batch", "jobs")}

    for pod in member.objects("", "pods"):
        (owner,) = pod["metadata"]["ownerReferences"]
        assert owners[owner["uid"]] == (owner["kind"], owner["name"])


def test_there_is_something_to_find(fleet: Fleet) -> None:
    reasons: set[str] = set()
    for member in fleet.members.values():
        for pod in member.objects("", "pods"):
            for container in pod["status"].get("containerStatuses", []):
                reasons.add(container["state"].get("waiting", {}).get("reason", ""))
            reasons.add(pod["status"]["phase"])
    nodes = fleet["east"].objects("", "nodes")

    assert {"CrashLoopBackOff", "ImagePullBackOff", "Pending", "Failed", "Running"} <= reasons
    assert any(condition["status"] == "Unknown" for node in nodes for condition in node["status"]["conditions"])
    assert fleet["east"].objects("cert.example.io", "certificates")
    assert fleet["east"].uid != fleet["west"].uid


@pytest.mark.parametrize("size", [3000, 6000, 20000])
def test_a_pods_size_is_what_was_asked_for(size: int) -> None:
    population = Population(Templates(1, size), 0, 300, BORN, only="pods")
    rows = [row for row in population.sets["", "pods"].rows if row.fields["status.phase"] == "Running"]
    sizes = []
    for row in rows:
        body = json.loads(b"{" + row.body(Identity(5), 1))
        del body["metadata"]["managedFields"]
        sizes.append(len(json.dumps(body, separators=(",", ":"))))

    average = sum(sizes) / len(sizes)
    assert max(size, 4500) * 0.9 < average < max(size, 4500) * 1.25


def test_a_body_costs_microseconds() -> None:
    """The generator shares its cores with what is measured: at most 15 µs of CPU a pod."""
    population = Population(Templates(1, 6000), 0, 1000, BORN, only="pods")
    rows, identity = population.sets["", "pods"].rows, Identity(5)
    best = min(_seconds_per_row(rows, identity) for _ in range(5))
    assert best < 15e-6


def _seconds_per_row(rows: Any, identity: Identity) -> float:
    began = time.process_time()
    for row in rows:
        row.body(identity, 1_795_545_000_123)
    return (time.process_time() - began) / len(rows)


# -- lists and watches -----------------------------------------------------------------------------------------------


async def test_lists_need_the_members_own_token(fleet: Fleet, client: Client) -> None:
    client.headers = {"Authorization": f"Bearer {fleet['west'].token}"}
    code, answer = await client.ask("/api/v1/pods")
    assert (code, answer["reason"]) == (401, "Unauthorized")


async def test_list_and_watch_together_hold_the_live_set_under_churn(fleet: Fleet, client: Client) -> None:
    listed = await client.listed("/api/v1/pods")
    live = keyed(listed["items"])
    fleet.churn.rate = 400
    version = listed["metadata"]["resourceVersion"]
    versions = []
    async for event in client.events(f"/api/v1/pods?watch=1&resourceVersion={version}&timeoutSeconds=2"):
        versions.append(int(event["object"]["metadata"]["resourceVersion"]))
        ((key, obj),) = keyed([event["object"]]).items()
        if event["type"] == "DELETED":
            del live[key]
        else:
            live[key] = obj
    fleet.churn.rate = 0
    assert len(versions) > 100
    assert versions == sorted(set(versions))

    later = await client.watch(f"/api/v1/pods?watch=1&resourceVersion={versions[-1]}&timeoutSeconds=1")
    for event in later:
        ((key, obj),) = keyed([event["object"]]).items()
        live.pop(key, None)
        if event["type"] != "DELETED":
            live[key] = obj
    assert live == keyed(fleet["east"].objects("", "pods"))


async def test_pages_show_one_version_while_churn_goes_on(fleet: Fleet, client: Client) -> None:
    whole = await client.listed("/api/v1/pods")
    fleet.churn.rate = 1000
    version = whole["metadata"]["resourceVersion"]
    page = await client.listed(f"/api/v1/pods?limit=20&resourceVersion={version}&resourceVersionMatch=Exact")
    items, remaining = page["items"], [page["metadata"]["remainingItemCount"]]
    while token := page["metadata"].get("continue"):
        page = await client.listed(f"/api/v1/pods?limit=20&continue={token}")
        assert page["metadata"]["resourceVersion"] == version
        items += page["items"]
        remaining.append(page["metadata"].get("remainingItemCount", 0))

    assert fleet["east"].rv > int(version)
    assert items == whole["items"]
    assert remaining == [max(len(items) - 20 * n, 0) for n in range(1, len(remaining) + 1)]


async def test_an_old_version_is_410_once_the_window_has_moved_on(tmp_path: Path) -> None:
    async with Fleet(objects=100, tls=False, window=10) as fleet, aiohttp.ClientSession() as session:
        member = fleet["sim-1"]
        client = Client(session, member)
        listed = await client.listed("/api/v1/configmaps")
        version = listed["metadata"]["resourceVersion"]
        for number in range(11):
            member.create(config_map(f"new-{number}"))
        (event,) = await client.watch(f"/api/v1/configmaps?watch=1&resourceVersion={version}&timeoutSeconds=1")
        assert event["object"]["code"] == 410
        code, answer = await client.ask(f"/api/v1/configmaps?resourceVersion={version}&resourceVersionMatch=Exact")
        assert (code, answer["reason"]) == (410, "Expired")


async def test_expire_makes_old_versions_410(fleet: Fleet, client: Client) -> None:
    version = fleet["east"].rv
    fleet["east"].expire()
    (event,) = await client.watch(f"/api/v1/pods?watch=1&resourceVersion={version}&timeoutSeconds=1")
    assert (event["type"], event["object"]["reason"]) == ("ERROR", "Expired")


async def test_bookmarks_come_only_when_asked_for(tmp_path: Path) -> None:
    async with Fleet(objects=100, tls=False, bookmark_seconds=0.1) as fleet, aiohttp.ClientSession() as session:
        client = Client(session, fleet["sim-1"])
        path = f"/api/v1/pods?watch=1&resourceVersion={fleet['sim-1'].rv}&timeoutSeconds=1"
        assert await client.watch(path) == []
        marks = await client.watch(f"{path}&allowWatchBookmarks=true")
        assert {event["type"] for event in marks} == {"BOOKMARK"}
        assert marks[-1]["object"]["metadata"]["resourceVersion"] == str(fleet["sim-1"].rv)


async def test_both_kinds_of_events_are_one_storage(client: Client) -> None:
    old = (await client.listed("/api/v1/events"))["items"]
    new = (await client.listed("/apis/events.k8s.io/v1/events"))["items"]
    assert [event["metadata"] for event in old] == [event["metadata"] for event in new]
    assert [event["message"] for event in old] == [event["note"] for event in new]


async def test_an_event_that_is_written_as_one_kind_is_read_as_the_other(client: Client) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "note": "hello",
        "regarding": {"kind": "Pod", "name": "p"},
    }
    code, made = await client.ask("/apis/events.k8s.io/v1/namespaces/default/events", "POST", event)
    assert (code, made["note"]) == (201, "hello")
    _, read = await client.ask("/api/v1/namespaces/default/events/e")
    assert (read["message"], read["involvedObject"]["name"]) == ("hello", "p")


async def test_bodies_of_more_than_3_mib_are_refused(client: Client) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    code, _ = await client.ask(path, "POST", config_map("large", text="x" * 2_000_000))
    assert code == 201
    code, answer = await client.ask(path, "POST", config_map("larger", text="x" * 3_200_000))
    assert (code, answer["reason"]) == (413, "RequestEntityTooLarge")


async def test_autoscalers_have_the_shape_of_the_version_that_is_asked_for(client: Client) -> None:
    new = (await client.listed("/apis/autoscaling/v2/horizontalpodautoscalers"))["items"]
    old = (await client.listed("/apis/autoscaling/v1/horizontalpodautoscalers"))["items"]
    assert new
    assert [item["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] for item in new] == [
        item["spec"]["targetCPUUtilizationPercentage"] for item in old
    ]


async def test_maps_come_in_the_order_of_their_keys(fleet: Fleet) -> None:
    obj = config_map("sorted", b="1", a="2")
    obj["metadata"]["labels"] = {"z": "1", "c": "2"}
    fleet["east"].create(obj)
    for group, resource in (("", "configmaps"), ("", "pods"), ("apps", "deployments"), ("", "nodes")):
        for found in fleet["east"].objects(group, resource):
            for key in ("labels", "annotations"):
                names = list(found["metadata"].get(key, {}))
                assert names == sorted(names), (resource, found["metadata"]["name"])
            assert list(found.get("data", {})) == sorted(found.get("data", {}))


async def test_a_crd_brings_its_type_and_takes_it_away(fleet: Fleet, client: Client) -> None:
    names = {"plural": "widgets", "kind": "Widget"}
    versions = [{"name": "v1", "served": True, "storage": True}]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.w.io"},
        "spec": {"group": "w.io", "names": names, "scope": "Cluster", "versions": versions},
    }
    fleet["east"].create(crd)
    fleet["east"].create({"apiVersion": "w.io/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"b": 1}})
    (item,) = (await client.listed("/apis/w.io/v1/widgets"))["items"]
    assert (item["kind"], item["spec"]) == ("Widget", {"b": 1})

    version = fleet["east"].rv
    watching = asyncio.create_task(client.watch(f"/apis/w.io/v1/widgets?watch=1&resourceVersion={version}"))
    counts = fleet.faces["east"].counts
    await until(lambda: counts.watching == 1)
    fleet["east"].delete("apiextensions.k8s.io", "customresourcedefinitions", "widgets.w.io")
    assert [event["type"] for event in await asyncio.wait_for(watching, 5)] == ["DELETED"]
    assert (await client.ask("/apis/w.io/v1/widgets"))[0] == 404


async def test_a_watch_ends_with_its_client(fleet: Fleet, client: Client) -> None:
    watching = asyncio.create_task(client.watch(f"/api/v1/pods?watch=1&resourceVersion={fleet['east'].rv}"))
    counts = fleet.faces["east"].counts
    await until(lambda: counts.watching == 1)
    watching.cancel()
    await until(lambda: counts.watching == 0)


async def test_a_client_is_told_that_it_may_do_everything(client: Client) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    code, answer = await client.ask(path, "POST", review)
    assert (code, answer["status"], answer["spec"]) == (201, {"allowed": True}, review["spec"])


# -- life ------------------------------------------------------------------------------------------------------------


async def test_members_are_the_same_ones_after_a_restart(tmp_path: Path) -> None:
    settings, kubeconfig = Settings(objects=300, churn=500, tls=False), tmp_path / "kubeconfig"
    types = (("", "pods"), ("", "configmaps"), ("apps", "deployments"), ("", "events"), ("", "nodes"))
    async with Fleet(settings, kubeconfig) as fleet:
        member = fleet["sim-1"]
        member.create(config_map("kept", text="<&>"))
        member.delete("", "configmaps", "kube-root-ca.crt", "default")
        began = member.rv
        await until(lambda: member.rv > began + 300)
        fleet.churn.rate = 0
        before = [member.objects(*pair) for pair in types]
        identity = (member.url, member.token, member.uid, member.rv)
        written = kubeconfig.read_text()

    async with Fleet(Settings(objects=300, tls=False), kubeconfig) as fleet:
        member = fleet["sim-1"]
        assert (member.url, member.token, member.uid, member.rv) == identity
        assert kubeconfig.read_text() == written
        assert [member.objects(*pair) for pair in types] == before


async def test_versions_never_go_back_after_a_crash(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with Fleet(objects=100, tls=False, kubeconfig=kubeconfig) as fleet:
        for number in range(50):
            fleet["sim-1"].create(config_map(f"lost-{number}"))
        version, uid = fleet["sim-1"].rv, fleet["sim-1"].uid
        crashed = (tmp_path / "kubeconfig.state" / "fleet.json").read_bytes()
    (tmp_path / "kubeconfig.state" / "fleet.json").write_bytes(crashed)  # as it was while the fleet ran

    async with Fleet(objects=100, tls=False, kubeconfig=kubeconfig) as fleet:
        assert fleet["sim-1"].uid == uid
        assert fleet["sim-1"].rv >= version
        assert fleet["sim-1"].get("", "configmaps", "lost-1", "default") is None


async def test_churn_keeps_its_rate_and_its_choices(tmp_path: Path) -> None:
    async def run() -> list[tuple[str, str, str]]:
        async with Fleet(objects=300, tls=False, seed=5) as fleet:
            for _ in range(400):
                fleet.churn.step("sim-1")
            found = fleet["sim-1"].member.all_objects()
            changes = [(change.rv, storage, change) for storage, objects in found for change in objects.changes]
            return [(change.kind, storage[1], change.key.decode()) for _, storage, change in sorted(changes)]

    assert await run() == await run()


async def test_most_pods_stay_well_under_long_churn() -> None:
    async with Fleet(objects=600, tls=False) as fleet:
        for _ in range(20_000):
            fleet.churn.step("sim-1")
        pods = fleet["sim-1"].objects("", "pods")
        ready = [
            pod
            for pod in pods
            for c in pod["status"].get("conditions", [])
            if (c["type"], c["status"]) == ("Ready", "True")
        ]
        assert len(ready) > 0.7 * len(pods)
        assert len(fleet["sim-1"].objects("", "events")) < 600


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "code", "reason"),
    [("unavailable", 503, "ServiceUnavailable"), ("429", 429, "TooManyRequests"), ("500", 500, "InternalError")],
)
async def test_a_fault_lasts_as_long_as_it_says(
    fleet: Fleet, client: Client, what: str, code: int, reason: str
) -> None:
    fleet.faults.begin(parse_fault({"what": what, "member": "east", "for_s": 0.3}))
    found, answer = await client.ask("/api/v1/pods?limit=1")
    assert (found, answer["reason"]) == (code, reason)
    async with asyncio.timeout(5):
        while (await client.ask("/api/v1/pods?limit=1"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_cut_watches_break_and_a_new_one_resumes(fleet: Fleet, client: Client) -> None:
    version = fleet["east"].rv
    path = f"/api/v1/configmaps?watch=1&resourceVersion={version}"
    watching = asyncio.create_task(client.watch(path))
    await until(lambda: fleet.faces["east"].counts.watching == 1)
    fleet["east"].cut_watches()
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(watching, 5)
    fleet["east"].create(config_map("after"))
    assert [event["type"] for event in await client.watch(f"{path}&timeoutSeconds=1")] == ["ADDED"]


async def test_a_plan_of_faults_is_carried_out_again_and_again(fleet: Fleet) -> None:
    before = fleet["east"].member.generation
    fleet.plan([parse_fault({"what": "cut_watches", "member": "east", "every_s": 0.05})])
    await until(lambda: fleet["east"].member.generation >= before + 3)
    assert fleet["west"].member.generation == 0


async def test_a_member_that_is_down_breaks_connections_and_leaves_the_other_alone(
    fleet: Fleet, client: Client
) -> None:
    fleet.faults.begin(parse_fault({"what": "down", "member": "east"}))
    with pytest.raises(aiohttp.ClientError):
        await client.ask("/api/v1/pods?limit=1")
    async with aiohttp.ClientSession() as session:
        assert (await Client(session, fleet["west"]).ask("/api/v1/pods?limit=1"))[0] == 200


async def test_the_right_to_one_type_can_be_taken_away(fleet: Fleet, client: Client) -> None:
    fleet.faults.begin(parse_fault({"what": "forbidden", "resource": "deployments.apps"}))
    assert (await client.ask("/apis/apps/v1/deployments"))[0] == 403
    assert (await client.ask("/api/v1/pods?limit=1"))[0] == 200


async def test_faults_and_churn_are_set_and_statistics_read_over_http(fleet: Fleet, client: Client) -> None:
    await client.ask("/api/v1/pods?limit=1")
    async with aiohttp.ClientSession() as session:
        fault = {"what": "unavailable", "member": "east"}
        async with session.post(f"{fleet.url}/_simulator/faults", json=[fault]) as response:
            assert response.status == 200
        assert (await client.ask("/api/v1/pods"))[0] == 503
        async with session.delete(f"{fleet.url}/_simulator/faults") as response:
            assert response.status == 200
        async with session.put(f"{fleet.url}/_simulator/churn", json={"rate": 50}) as response:
            assert response.status == 200
        await until(lambda: fleet["west"].rv > fleet["west"].member.start_rv)
        async with session.get(f"{fleet.url}/_simulator/stats") as response:
            stats = await response.json()
        async with session.post(f"{fleet.url}/_simulator/faults", json={"what": "flood"}) as response:
            assert response.status == 400
            assert "cut_watches" in (await response.json())["error"]
    assert stats["members"]["east"]["requests"]["list"] == 1
    assert stats["churn_rate"] == 50


def test_bad_arguments_are_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text(yaml.safe_dump([{"what": "cut_watches", "when": 3}]))
    out = str(tmp_path / "kc")
    for arguments, word in (
        (["--names", "Upper"], "DNS label"),
        (["--names", "a,a"], "repeat"),
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--objects", "0"], "at least 1"),
        (["--faults", str(faults)], "when"),
    ):
        assert main(["--kubeconfig", out, *arguments]) == 2
        assert word in capsys.readouterr().err
