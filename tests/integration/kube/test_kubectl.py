"""Real kubectls, old and new, read the fleet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from aggregator.rbac.scope import Scope
from tests.controlplane.kubectl import kubectl as kubectl_of
from tests.integration.fleet import PODS, Fleet, pod
from tests.integration.kube.conftest import Client, Services


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Kubectl:
    def __init__(self, program: Path, home: Path, server: str) -> None:
        self.program, self.home, self.server = program, home, server

    async def start(self, *args: str, face: str = "/fleet") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.program,
            f"--server={self.server}{face}",
            f"--cache-dir={self.home}/cache",
            *args,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.home), "KUBECONFIG": str(self.home / "none")},
        )

    async def __call__(self, *args: str, face: str = "/fleet") -> Answer:
        process = await self.start(*args, face=face)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        return Answer(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture(params=["1.37", "1.32"])
def kubectl(request: pytest.FixtureRequest, tmp_path: Path, client: Client, fleet: Fleet) -> Kubectl:
    return Kubectl(kubectl_of(request.param), tmp_path, f"http://127.0.0.1:{client.port}")


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


async def test_pods_of_all_clusters_are_one_table(kubectl: Kubectl) -> None:
    answer = await kubectl("get", "pods", "-A")
    assert answer.err == ""
    rows = table(answer.out)
    assert rows[0] == ["NAMESPACE", "CLUSTER", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row[:5] for row in rows[1:]] == [
        ["default", "east", "job", "0/1", "Failed"],
        ["default", "west", "job", "0/1", "Failed"],
        ["shop", "west", "db", "1/1", "Running"],
        ["shop", "east", "web", "1/1", "Running"],
        ["shop", "west", "web", "1/1", "Running"],
    ]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("get", "po", "-n", "shop", "-l", "app=web", "-o", "name"), "pod/web\npod/web\n"),
        (("get", "po", "-A", "-l", "app!=web", "-o", "name"), "pod/job\npod/job\npod/db\n"),
        (("get", "po", "-A", "--field-selector", "spec.nodeName=n2", "-o", "name"), "pod/db\n"),
        (("get", "po", "-A", "--chunk-size", "2", "-o", "name"), "pod/job\npod/job\npod/db\npod/web\npod/web\n"),
        (("get", "po", "db", "-n", "shop", "-o", "jsonpath={.spec.nodeName}"), "n2"),
        (
            (
                "get",
                "pods",
                "-A",
                "--sort-by",
                ".metadata.name",
                "-o",
                "custom-columns=N:.metadata.name",
                "--no-headers",
            ),
            "db\njob\njob\nweb\nweb\n",
        ),
    ],
)
async def test_selections_and_forms(kubectl: Kubectl, args: tuple[str, ...], expected: str) -> None:
    answer = await kubectl(*args)
    assert (answer.out, answer.code) == (expected, 0), answer.err


async def test_one_clusters_face_shows_that_cluster_only(kubectl: Kubectl) -> None:
    answer = await kubectl("get", "pods", "-n", "shop", face="/fleet/clusters/east")
    assert [row[:2] for row in table(answer.out)] == [["CLUSTER", "NAME"], ["east", "web"]]


async def test_a_name_in_several_clusters_prints_all_and_refuses_json(kubectl: Kubectl) -> None:
    assert len(table((await kubectl("get", "pod", "web", "-n", "shop")).out)) == 3
    answer = await kubectl("get", "pod", "web", "-n", "shop", "-o", "yaml")
    assert answer.code == 1
    assert "kubectl --context fleet/east get pods web -n shop" in answer.err


async def test_get_all_labels_columns_and_custom_resources(kubectl: Kubectl) -> None:
    every = await kubectl("get", "all,cm", "-n", "shop")
    assert every.code == 0, every.err
    assert "pod/web" in every.out
    assert "configmap/settings" in every.out
    labelled = await kubectl("get", "po", "-n", "shop", "-L", "app", "--show-labels")
    assert table(labelled.out)[0][-2:] == ["APP", "LABELS"]
    widgets = table((await kubectl("get", "widgets", "-A")).out)
    assert widgets == [["NAMESPACE", "CLUSTER", "NAME", "COLOR", "SIZE"], ["shop", "west", "w", "red", "3"]]


async def test_sort_by_in_a_table_asks_for_everything(kubectl: Kubectl) -> None:
    answer = await kubectl("get", "pods", "-A", "--sort-by", ".metadata.name")
    assert [row[2] for row in table(answer.out)[1:]] == ["db", "job", "job", "web", "web"], answer.err


async def test_api_resources_and_version(kubectl: Kubectl) -> None:
    answer = await kubectl("api-resources", "--no-headers")
    assert ["pods", "po", "v1", "true", "Pod"] in table(answer.out)
    assert ["widgets", "example.com/v1", "true", "Widget"] in table(answer.out)
    assert "v1.37.2" in (await kubectl("version")).out


async def test_writes_are_refused_with_what_to_use(kubectl: Kubectl) -> None:
    answer = await kubectl("delete", "pod", "db", "-n", "shop")
    assert answer.code == 1
    assert "read-only" in answer.err
    assert "--context" in answer.err


async def test_a_watch_prints_changes_as_they_come(kubectl: Kubectl, fleet: Fleet) -> None:
    process = await kubectl.start("get", "pods", "-n", "shop", "-l", "app=web", "-w", "-o", "name")
    assert process.stdout
    assert [await asyncio.wait_for(process.stdout.readline(), 20) for _ in range(2)] == [b"pod/web\n"] * 2
    await fleet.put("east", PODS, pod("shop", "new", {"app": "web"}))
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"pod/new\n"
    process.terminate()
    await process.wait()


async def test_waiting_for_a_condition_ends_when_it_is_met(kubectl: Kubectl, fleet: Fleet) -> None:
    process = await kubectl.start(
        *("wait", "pod/db", "-n", "shop", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    )
    await fleet.put("west", PODS, pod("shop", "db", {"app": "db"}, phase="Succeeded"))
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert out == b"pod/db condition met\n", err


async def test_reviews_about_oneself(kubectl: Kubectl, services: Services) -> None:
    assert (await kubectl("auth", "can-i", "list", "pods", "-A")).out == "yes\n"
    refused = await kubectl("auth", "can-i", "delete", "pods")
    assert refused.out.startswith("no")
    assert "somebody" in (await kubectl("auth", "whoami")).out
    assert "widgets" in (await kubectl("auth", "can-i", "--list")).out
    services.identity.scope = Scope(namespaces=("shop",))
    assert (await kubectl("auth", "can-i", "get", "pods", "-n", "shop")).out == "yes\n"
    assert (await kubectl("auth", "can-i", "get", "pods", "-n", "default")).out.startswith("no")


async def test_describe_reads_object_and_events(kubectl: Kubectl) -> None:
    answer = await kubectl("describe", "pod", "db", "-n", "shop", face="/fleet/clusters/west")
    assert answer.code == 0, answer.err
    assert "fleetpedia.io/cluster: west" in answer.out
