"""The control plane that the other e2e tests stand on does what they take for granted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.api import Api, ApiError
from tests.controlplane.components import API_SERVER, COMPONENTS, CONTROLLER_MANAGER
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until

CHAOS = "test.fleetpedia.io/chaos"
TwoPlanes = tuple[ControlPlane, ControlPlane]


def pod_template(app: str, **labels: str) -> dict[str, Any]:
    containers = [{"name": app, "image": f"registry.example/{app}:1"}]
    return {"metadata": {"labels": {"app": app, **labels}}, "spec": {"containers": containers}}


def deployment(app: str, replicas: int) -> dict[str, Any]:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": app}},
        "template": pod_template(app),
    }
    return {"metadata": {"name": app, "labels": {"app": app}}, "spec": spec}


def pods(api: Api, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return items


def waiting_reason(pod: dict[str, Any]) -> str:
    statuses = pod["status"].get("containerStatuses", [])
    return str(statuses[0]["state"].get("waiting", {}).get("reason", "")) if statuses else ""


def test_a_deployment_of_twenty_replicas_runs_on_kwok_nodes(two_planes: TwoPlanes, namespace: str) -> None:
    plane = two_planes[0]
    plane.create_namespace(namespace)
    plane.api.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("web", 20))

    def available() -> bool:
        found = plane.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
        return bool(found["status"].get("availableReplicas") == 20)

    wait_until(available, "20 replicas are available", timeout=60, explain=plane.explain)
    running = pods(plane.api, namespace)
    assert {pod["status"]["phase"] for pod in running} == {"Running"}
    assert len({pod["status"]["podIP"] for pod in running}) == 20
    assert len({pod["spec"]["nodeName"] for pod in running}) > 1


def test_a_job_completes_and_a_deleted_pod_goes_away(two_planes: TwoPlanes, namespace: str) -> None:
    api = two_planes[1].api
    two_planes[1].create_namespace(namespace)
    template = pod_template("once")
    template["spec"]["restartPolicy"] = "Never"
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    api.create(jobs, {"metadata": {"name": "once"}, "spec": {"template": template}})
    wait_until(lambda: api.get(f"{jobs}/once")["status"].get("succeeded") == 1, "the job succeeds")
    [pod] = pods(api, namespace)
    assert pod["status"]["phase"] == "Succeeded"
    api.delete(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}")
    wait_until(lambda: not pods(api, namespace), "the pod is gone")


@pytest.mark.parametrize(
    ("state", "phase", "restarts"), [("CrashLoopBackOff", "Running", 7), ("ImagePullBackOff", "Pending", 0)]
)
def test_a_pod_with_the_chaos_label_is_in_that_state(
    two_planes: TwoPlanes, namespace: str, state: str, phase: str, restarts: int
) -> None:
    plane = two_planes[0]
    plane.create_namespace(namespace)
    pod = {**pod_template("bad", **{CHAOS: state})}
    pod["metadata"]["name"] = "bad"
    path = f"/api/v1/namespaces/{namespace}/pods"
    plane.api.create(path, pod)
    wait_until(lambda: waiting_reason(plane.api.get(f"{path}/bad")) == state, state, explain=plane.explain)
    status = plane.api.get(f"{path}/bad")["status"]
    assert status["phase"] == phase
    assert status["containerStatuses"][0]["restartCount"] == restarts


def test_rbac_denies_a_user_that_no_binding_names(plane: ControlPlane) -> None:
    stranger = plane.as_user("stranger", "some-group")
    with pytest.raises(ApiError, match='User \\\\"stranger\\\\" cannot list resource') as denied:
        stranger.get("/api/v1/namespaces/default/pods")
    assert denied.value.status == 403
    assert pods(plane.api, "default") == []


def test_a_killed_api_server_comes_back_with_what_it_had(plane: ControlPlane, namespace: str) -> None:
    plane.create_namespace(namespace)
    before = plane.process(API_SERVER).pid
    plane.kill(API_SERVER)
    with pytest.raises(OSError, match="refused"):
        plane.api.get("/version")
    plane.start(API_SERVER)
    assert plane.process(API_SERVER).pid != before
    assert plane.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace
    # The controllers work again: a namespace gets its service account.
    plane.wait_ready(CONTROLLER_MANAGER)
    plane.create_namespace(f"{namespace}-after")


def test_a_component_that_dies_is_started_again(plane: ControlPlane) -> None:
    process = plane.process(CONTROLLER_MANAGER)
    before = process.pid
    assert before is not None
    os.kill(before, 9)
    wait_until(lambda: process.pid not in (None, before), "a new process", explain=plane.explain)
    plane.wait_ready(CONTROLLER_MANAGER)
    assert process.restarts > 0


def test_two_planes_are_two_clusters(
    two_planes: TwoPlanes, two_planes_kubeconfig: Path, kubectl137: Path, kubectl132: Path, namespace: str
) -> None:
    first, second = two_planes
    first.create_namespace(namespace)

    def names(program: Path, context: str) -> set[str]:
        command = [str(program), "--kubeconfig", str(two_planes_kubeconfig), "--context", context]
        command += ["get", "namespaces", "-o", "json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return {item["metadata"]["name"] for item in json.loads(result.stdout)["items"]}

    for program in (kubectl137, kubectl132):
        assert namespace in names(program, "c1")
        assert namespace not in names(program, "c2")
    system = "/api/v1/namespaces/kube-system"
    assert first.api.get(system)["metadata"]["uid"] != second.api.get(system)["metadata"]["uid"]


def test_a_stopped_plane_leaves_no_process_behind(controlplane_binaries: Path, tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "short", programs=controlplane_binaries) as plane:
        pids = [plane.process(name).pid for name in COMPONENTS]
    assert None not in pids
    assert [pid for pid in pids if pid and Path(f"/proc/{pid}").exists()] == []


def test_a_plane_that_cannot_start_says_why_in_the_words_of_its_log(
    controlplane_binaries: Path, tmp_path: Path
) -> None:
    plane = ControlPlane(tmp_path / "bad", programs=controlplane_binaries, extra={API_SERVER: ["--no-such-flag"]})
    with pytest.raises(TimeoutError, match="unknown flag: --no-such-flag"):
        plane.start(timeout=5)


def test_a_frozen_api_server_answers_nothing_until_it_is_thawed(plane: ControlPlane) -> None:
    plane.process(API_SERVER).freeze()
    try:
        with pytest.raises(TimeoutError):
            plane.api.text("GET", "/version", timeout=0.5)
    finally:
        plane.process(API_SERVER).thaw()
    plane.wait_ready()


def test_a_service_account_token_is_accepted_and_may_do_what_is_bound(plane: ControlPlane, namespace: str) -> None:
    plane.create_namespace(namespace)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = plane.api.create(path, {"spec": {"expirationSeconds": 600}})["status"]["token"]
    with pytest.raises(ApiError) as denied:
        plane.as_bearer(token).get(f"/api/v1/namespaces/{namespace}/pods")
    assert denied.value.status == 403
    assert f"system:serviceaccount:{namespace}:default" in denied.value.body
