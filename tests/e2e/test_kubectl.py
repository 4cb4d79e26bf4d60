"""kubectl, old and new, reads the whole fleet on `fleet` and one cluster on `fleet/NAME`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.api import Api
from tests.controlplane.kubectl import kubectl
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.fleet import Fleet, Result
from tests.e2e.member import config_map

TwoPlanes = tuple[ControlPlane, ControlPlane]
PODS = "/api/v1/namespaces/world/pods"
CLUSTER_PATH = r".metadata.annotations.fleetpedia\.io/cluster"


@dataclass(frozen=True)
class Reader:
    """One kubectl on one context; `planes` are the clusters that it sees there."""

    fleet: Fleet
    program: Path
    context: str
    planes: Sequence[ControlPlane]

    def __call__(self, *arguments: str, ok: Sequence[int] = (0,)) -> Result:
        return self.fleet.kubectl(self.program, *arguments, context=self.context, ok=ok)

    def get(self, *arguments: str, ok: Sequence[int] = (0,)) -> Result:
        return self("get", *arguments, ok=ok)

    @property
    def merged(self) -> bool:
        return self.context == "fleet"

    def expected(self, ask: Callable[[Api], list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
        """(namespace, cluster, name) of what the members themselves answer, sorted."""
        return sorted(
            (item["metadata"].get("namespace", ""), plane.name, item["metadata"]["name"])
            for plane in self.planes
            for item in ask(plane.api)
        )


@pytest.fixture(params=["1.37", "1.32"], scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    return kubectl(request.param)


@pytest.fixture(params=["fleet", "fleet/c1"], scope="module")
def reader(request: pytest.FixtureRequest, world: Fleet, two_planes: TwoPlanes, program: Path) -> Reader:
    planes = two_planes if request.param == "fleet" else two_planes[:1]
    return Reader(world, program, request.param, planes)


def rows(result: Result) -> list[dict[str, str]]:
    """A printed table as one dict a row; columns begin where their headers do."""
    lines = result.out.splitlines()
    assert lines, str(result)
    heads = [(match[0], match.start()) for match in re.finditer(r"\S+(?: \S+)*", lines[0])]
    ends = [start for _, start in heads[1:]] + [None]
    return [
        {name: line[start:end].strip() for (name, start), end in zip(heads, ends, strict=True)} for line in lines[1:]
    ]


def listed(path: str) -> Callable[[Api], list[dict[str, Any]]]:
    return lambda api: list(api.get(path)["items"])


def places(result: Result, namespace: str = "") -> list[tuple[str, str, str]]:
    return sorted((row.get("NAMESPACE", namespace), row["CLUSTER"], row["NAME"]) for row in rows(result))


def test_get_pods_of_all_namespaces_prints_every_pod_with_its_cluster(reader: Reader) -> None:
    result = reader.get("pods", "-A")
    assert result.out.splitlines()[0].split() == ["NAMESPACE", "CLUSTER", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert places(result) == reader.expected(listed("/api/v1/pods"))
    assert result.err == ""


@pytest.mark.parametrize(
    "selector",
    ["app=web", "app!=web", "app in (web,store)", "app notin (web)", "app", "!app", "app=web,pod-template-hash"],
)
def test_label_selectors_select_what_the_member_selects(reader: Reader, selector: str) -> None:
    quoted = selector.replace(" ", "%20").replace("!", "%21").replace(",", "%2C")
    expected = reader.expected(listed(f"{PODS}?labelSelector={quoted}"))
    found = reader.get("pods", "-n", "world", "-l", selector)
    assert (places(found, "world") if expected else []) == expected


@pytest.mark.parametrize(
    "selector",
    [
        "status.phase=Pending",
        "status.phase!=Running",
        "spec.nodeName=",
        "metadata.name=crashing",
        "metadata.namespace=world",
    ],
)
def test_field_selectors_select_what_the_member_selects(reader: Reader, selector: str) -> None:
    expected = reader.expected(listed(f"{PODS}?fieldSelector={selector.replace('!', '%21')}"))
    assert expected
    assert places(reader.get("pods", "-n", "world", "--field-selector", selector), "world") == expected


def test_a_field_selector_by_any_path_and_by_cluster(reader: Reader) -> None:
    by_image = "spec.containers[0].image=registry.example/store:1"
    found = reader.get("pods", "-n", "world", "--field-selector", by_image, "-o", "name")
    assert len(found.lines()) == 2 * len(reader.planes)
    for selector in (["--field-selector", "metadata.cluster=c1"], ["-l", "fleetpedia.io/cluster in (c1)"]):
        only = rows(reader.get("pods", "-n", "world", *selector))
        assert {row["CLUSTER"] for row in only} == {"c1"}


def test_output_json_and_yaml_are_the_whole_objects(reader: Reader) -> None:
    from_json = json.loads(reader.get("pods", "-n", "world", "-o", "json").out)
    from_yaml = yaml.safe_load(reader.get("pods", "-n", "world", "-o", "yaml").out)
    assert from_json["items"] == from_yaml["items"]
    found = sorted(
        ("world", item["metadata"]["annotations"]["fleetpedia.io/cluster"], item["metadata"]["name"])
        for item in from_json["items"]
    )
    assert found == reader.expected(listed(PODS))
    for item in from_json["items"]:
        assert item["spec"]["containers"]
        assert item["status"]["phase"]
        assert "managedFields" not in item["metadata"]


def test_output_wide_prints_the_columns_of_lower_priority(reader: Reader) -> None:
    printed = rows(reader.get("pods", "-n", "world", "-l", "app=web", "-o", "wide"))
    nodes = {
        (plane.name, item["metadata"]["name"]): item["spec"]["nodeName"]
        for plane in reader.planes
        for item in plane.api.get(f"{PODS}?labelSelector=app%3Dweb")["items"]
    }
    assert {(row["CLUSTER"], row["NAME"]): row["NODE"] for row in printed} == nodes


def test_output_name_custom_columns_and_jsonpath(reader: Reader) -> None:
    clusters = sorted(plane.name for plane in reader.planes)
    selected = ["services", "-n", "world", "--field-selector", "metadata.name=outside"]
    assert reader.get(*selected, "-o", "name").lines() == ["service/outside"] * len(clusters)
    columns = f"NAME:.metadata.name,CLUSTER:{CLUSTER_PATH},TYPE:.spec.type"
    printed = rows(reader.get(*selected, "-o", f"custom-columns={columns}"))
    assert [(row["CLUSTER"], row["NAME"], row["TYPE"]) for row in printed] == [
        (cluster, "outside", "NodePort") for cluster in clusters
    ]
    path = "{range .items[*]}{" + CLUSTER_PATH + '}={.spec.ports[0].port}{"\\n"}{end}'
    assert reader.get(*selected, "-o", f"jsonpath={path}").lines() == [f"{cluster}=80" for cluster in clusters]


def test_label_columns_and_show_labels(reader: Reader) -> None:
    selected = ["pods", "-n", "world", "-l", "app=store"]
    assert {row["APP"] for row in rows(reader.get(*selected, "-L", "app"))} == {"store"}
    for row in rows(reader.get(*selected, "--show-labels")):
        assert "app=store" in row["LABELS"].split(",")


def test_sort_by_orders_over_clusters(reader: Reader) -> None:
    names = [row["NAME"] for row in rows(reader.get("pods", "-n", "world", "--sort-by", ".metadata.name"))]
    assert names == sorted(names)
    assert len(names) == len(reader.expected(listed(PODS)))
    by_size = rows(reader.get("gadgets", "-n", "world", "--sort-by", ".spec.size"))
    assert [row["SIZE"] for row in by_size] == sorted(["0", "1", "2"] * len(reader.planes))


@pytest.mark.parametrize("size", ["1", "3", "500", "0"])
def test_any_chunk_size_prints_the_same(reader: Reader, size: str) -> None:
    result = reader.get("pods", "-n", "world", "--chunk-size", size)
    assert places(result, "world") == reader.expected(listed(PODS))


def test_get_all_prints_every_type_of_the_category(reader: Reader) -> None:
    found = {line.split("/")[0] for line in reader.get("all", "-n", "world", "-o", "name").lines()}
    assert found == {
        "pod",
        "service",
        "daemonset.apps",
        "deployment.apps",
        "replicaset.apps",
        "statefulset.apps",
        "horizontalpodautoscaler.autoscaling",
        "cronjob.batch",
        "job.batch",
        "gadget.demo.example.org",
    }


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("po", "pods"),
        ("deploy", "deployments"),
        ("svc", "services"),
        ("cm", "configmaps"),
        ("gg", "gadgets"),
        ("gadget", "gadgets"),
    ],
)
def test_short_and_singular_names(reader: Reader, short: str, long: str) -> None:
    by_short, by_long = (reader.get(name, "-n", "world", "-o", "name").lines() for name in (short, long))
    assert by_short == by_long != []


def test_categories_of_custom_resources(reader: Reader) -> None:
    assert len(reader.get("demo", "-n", "world", "-o", "name").lines()) == 3 * len(reader.planes)


def test_api_resources_lists_what_is_synced_and_only_reading_verbs(reader: Reader) -> None:
    printed = {(row["NAME"], row["APIVERSION"]): row for row in rows(reader("api-resources", "-o", "wide"))}
    assert printed["pods", "v1"]["SHORTNAMES"] == "po"
    assert printed["deployments", "apps/v1"]["KIND"] == "Deployment"
    assert printed["nodes", "v1"]["NAMESPACED"] == "false"
    assert printed["gadgets", "demo.example.org/v1"]["CATEGORIES"] == "all,demo"
    assert ("leases", "coordination.k8s.io/v1") not in printed
    for row in printed.values():
        assert set(row["VERBS"].strip("[]").replace(",", " ").split()) <= {"get", "list", "watch"}


def test_several_types_at_once(reader: Reader) -> None:
    found = reader.get("deploy,svc", "-n", "world", "-o", "name").lines()
    assert sorted(found) == sorted(
        ["deployment.apps/web", "service/elsewhere", "service/outside", "service/web"] * len(reader.planes)
    )


def test_events_are_printed_as_kubectl_prints_them(reader: Reader) -> None:
    printed = rows(reader.get("events", "-n", "world"))
    assert {"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"} <= printed[0].keys()
    assert "FailedScheduling" in {row["REASON"] for row in printed}
    field = "involvedObject.name=unschedulable,involvedObject.kind=Pod"
    assert {row["OBJECT"] for row in rows(reader.get("events", "-n", "world", "--field-selector", field))} == {
        "pod/unschedulable"
    }


def test_custom_resources_print_their_own_columns(reader: Reader) -> None:
    result = reader.get("gadgets", "-n", "world")
    assert result.out.splitlines()[0].split() == ["CLUSTER", "NAME", "SIZE", "MISSING", "SINCE", "AGE"]
    assert len(rows(result)) == 3 * len(reader.planes)
    wide = rows(reader.get("gadgets", "-n", "world", "-l", "size=0", "-o", "wide"))
    assert {row["COLOR"] for row in wide} == {"blue"}


def test_a_cluster_scoped_type(reader: Reader) -> None:
    assert places(reader.get("nodes")) == reader.expected(listed("/api/v1/nodes"))


def test_a_name_that_several_clusters_have(reader: Reader) -> None:
    printed = rows(reader.get("service", "web", "-n", "world"))
    assert [row["CLUSTER"] for row in printed] == [plane.name for plane in reader.planes]
    as_json = reader.get("service", "web", "-n", "world", "-o", "json", ok=(0, 1))
    if not reader.merged:
        assert as_json.json()["metadata"]["name"] == "web"
        return
    assert as_json.code == 1
    for word in ("Conflict", "c1", "c2"):
        assert word in as_json.err
    assert "fleet/c1" in as_json.err or "/fleet/clusters/c1" in as_json.err


def test_a_name_that_no_cluster_has_is_not_found(reader: Reader) -> None:
    result = reader.get("pod", "nobody", "-n", "world", ok=(1,))
    assert "NotFound" in result.err
    assert "nobody" in result.err


def test_a_type_that_nobody_serves_is_said_to_be_unknown(reader: Reader) -> None:
    assert 'doesn\'t have a resource type "nothings"' in reader.get("nothings", ok=(1,)).err


@pytest.mark.parametrize(
    "command",
    [
        ("create", "configmap", "new", "-n", "world"),
        ("delete", "--raw", "", "-n", "world"),
        ("label", "namespace", "world", "a=b"),
        ("scale", "deployment", "web", "--replicas", "1", "-n", "world"),
    ],
    ids=lambda command: command[0],
)
def test_writes_are_refused_and_say_what_to_use(reader: Reader, command: tuple[str, ...]) -> None:
    if command[0] == "delete":
        command = ("delete", "pod", "crashing", "-n", "world", "--wait=false")
    if reader.merged and command[0] != "create":
        return  # the read before the write is ambiguous there and says so: its own test above
    result = reader(*command, ok=(1,))
    assert "MethodNotAllowed" in result.err or "read-only" in result.err, str(result)
    assert "/clusters/" in result.err or "context" in result.err, str(result)
    for plane in reader.planes:
        assert plane.api.get(f"{PODS}/crashing")["metadata"].get("deletionTimestamp") is None


@contextmanager
def following(reader: Reader, output: Path, *arguments: str) -> Iterator[Path]:
    """`kubectl get -w …` into a file."""
    command = [reader.program, "--kubeconfig", reader.fleet.kubeconfig, "--context", reader.context]
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*map(str, command), "get", *arguments, "-w"], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        try:
            yield output
        finally:
            process.terminate()
            process.wait(10)


def test_watch_prints_changes_as_they_come(reader: Reader, tmp_path: Path) -> None:
    api = reader.planes[0].api
    path = "/api/v1/namespaces/world/configmaps"
    name = f"seen-{reader.program.parent.name[:6]}-{reader.context.replace('/', '-')}"
    with following(reader, tmp_path / "out", "configmaps", "-n", "world", "--output-watch-events") as output:
        wait_until(lambda: "settings" in output.read_text(), "the list is printed", explain=output.read_text)

        def shown(event: str) -> bool:
            return any(line.startswith(event) and name in line for line in output.read_text().splitlines())

        def wait_shown(event: str) -> None:
            wait_until(partial(shown, event), f"{event} is printed", timeout=10, explain=output.read_text)

        # One after the other: of what lives for milliseconds nothing need ever be shown.
        api.create(path, config_map(name))
        wait_shown("ADDED")
        api.patch(f"{path}/{name}", {"data": {"more": "1"}})
        wait_shown("MODIFIED")
        api.delete(f"{path}/{name}")
        wait_shown("DELETED")
        events = [line.split() for line in output.read_text().splitlines() if name in line]
    assert [event[:3] for event in events] == [[kind, "c1", name] for kind in ("ADDED", "MODIFIED", "DELETED")]


def test_watch_replays_nothing_that_the_list_has_printed(reader: Reader, tmp_path: Path) -> None:
    """traps 2: pages that differ in version make kubectl begin from nothing."""
    api = reader.planes[0].api
    path = "/api/v1/namespaces/world/configmaps"
    name = f"last-{reader.program.parent.name[:6]}-{reader.context.replace('/', '-')}"
    arguments = ("configmaps", "-n", "world", "--chunk-size", "1")
    with following(reader, tmp_path / "out", *arguments) as output:
        wait_until(lambda: "settings" in output.read_text(), "the list is printed", explain=output.read_text)
        api.create(path, config_map(name))
        wait_until(lambda: name in output.read_text(), "the new one is printed", timeout=10, explain=output.read_text)
        lines = output.read_text().splitlines()
    api.delete(f"{path}/{name}")
    assert len([line for line in lines if " settings " in f" {line} "]) == len(reader.planes), lines


def test_wait_and_rollout_status_work_on_one_cluster(reader: Reader) -> None:
    if reader.merged:
        return  # they read by name, which several clusters have
    reader("wait", "--for=condition=Available", "deployment/web", "-n", "world", "--timeout=20s")
    assert (
        "successfully rolled out" in reader("rollout", "status", "deployment/web", "-n", "world", "--timeout=20s").out
    )


def test_describe_works_on_one_cluster(reader: Reader) -> None:
    if reader.merged:
        return
    text = reader("describe", "pod", "unschedulable", "-n", "world").out
    assert "FailedScheduling" in text
    assert "registry.example/bad:1" in text


def test_version_and_who_am_i(reader: Reader) -> None:
    assert "Server Version" in reader("version").out
    assert reader("auth", "can-i", "list", "pods", "-A").out.strip() == "yes"
    assert reader("auth", "can-i", "delete", "pods", "-A", ok=(1,)).out.startswith("no - the index is read-only")
    assert "admin" in reader("auth", "whoami").out


def test_the_kubeconfig_has_the_contexts_that_are_promised(world: Fleet) -> None:
    config = yaml.safe_load(world.kubeconfig.read_text())
    assert config["current-context"] == "fleet"
    assert {"fleet", "fleet/c1", "fleet/c2"} <= {context["name"] for context in config["contexts"]}
