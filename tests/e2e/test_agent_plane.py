"""The agent on a real API server, with a hub in memory: what only the real server can show."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agent.lineage import LEASES, NAME
from tests.controlplane.api import Api, ApiError
from tests.controlplane.components import API_SERVER
from tests.controlplane.kubeconfig import Context, write_kubeconfig
from tests.controlplane.plane import ControlPlane
from tests.integration.agent.agents import agent, stored
from tests.integration.agent_hub import AgentHub

NAMESPACE = "fleetpedia-system"
QUIET = {"leases.coordination.k8s.io", "events"}


@pytest.fixture
async def hub() -> AsyncIterator[AgentHub]:
    async with AgentHub() as hub:
        yield hub


@pytest.fixture
def kubeconfig(plane: ControlPlane, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig", [plane.context])


def listed(api: Api, path: str) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): (
            one["metadata"]["uid"],
            one["metadata"]["resourceVersion"],
        )
        for one in api.get(path)["items"]
    }


def equal(hub: AgentHub, api: Api) -> bool:
    return all(
        stored(hub, held.type.name) == listed(api, held.type.path)
        for held in hub.types.values()
        if not held.gone and held.type.name not in QUIET
    )


async def until_equal(hub: AgentHub, plane: ControlPlane, timeout: float = 20.0) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not await asyncio.to_thread(equal, hub, plane.api):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.1)
    except TimeoutError:
        for held in hub.types.values():
            assert stored(hub, held.type.name) == listed(plane.api, held.type.path), held.type.name
        raise


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_every_type_of_the_server_is_the_stores(hub: AgentHub, plane: ControlPlane, kubeconfig: Path) -> None:
    async with agent(hub, kubeconfig, plane.name):
        await hub.until(hub.in_sync, 60)
        await until_equal(hub, plane)
        report = await hub.order("verify")
        assert not report.error
        assert [one for one in report.result["types"] if one["missing"] or one["ghost"] or one["different"]] == []


async def test_restart_moves_nothing_and_needs_no_lease(hub: AgentHub, plane: ControlPlane, kubeconfig: Path) -> None:
    async with agent(hub, kubeconfig, plane.name):
        await hub.until(hub.in_sync, 60)
    sent = hub.counts["rows"]
    async with agent(hub, kubeconfig, plane.name) as running:
        await hub.until(lambda: len(hub.hellos) == 2 and running.ready, 60)
        assert running.metrics.value("fleetpedia_resync_total", reason="no-lease") >= 50
    assert hub.counts["rows"] - sent < 20, "only what really changed"
    with pytest.raises(ApiError, match="404"):
        plane.api.get(f"{LEASES}/{NAME}")


async def test_kill_of_the_api_server_loses_nothing(hub: AgentHub, controlplane_binaries: Path, tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "plane", name="killed", programs=controlplane_binaries) as plane:
        async with agent(hub, plane.kubeconfig, "killed"):
            await hub.until(hub.in_sync, 60)
            for number in range(20):
                plane.api.create("/api/v1/namespaces/default/configmaps", config_map(f"before-{number}"))
            await asyncio.to_thread(plane.kill, API_SERVER)
            await hub.until(lambda: hub.heartbeats[-1].message, 20, "the member is away")
            await asyncio.to_thread(plane.start, API_SERVER)
            plane.api.delete("/api/v1/namespaces/default/configmaps/before-3")
            plane.api.create("/api/v1/namespaces/default/configmaps", config_map("after"))
            await until_equal(hub, plane, 30)
            await hub.until(hub.in_sync, 30)


def unless(status: int, call: Callable[..., Any], *arguments: Any) -> None:
    """Do it; an answer of `status` is as good."""
    try:
        call(*arguments)
    except ApiError as error:
        if error.status != status:
            raise


@pytest.fixture
def service_account(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The agent's rights as in its manifest, mounted as a pod would have them."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    everywhere = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    lease = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]
    subject = [{"kind": "ServiceAccount", "name": "agent", "namespace": NAMESPACE}]
    for path, body in (
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "agent"}}),
        (f"{rbac}/clusterroles", {"metadata": {"name": "agent"}, "rules": everywhere}),
        (f"{rbac}/clusterrolebindings", _binding("ClusterRole", subject)),
        (f"{rbac}/namespaces/{NAMESPACE}/roles", {"metadata": {"name": "agent"}, "rules": lease}),
        (f"{rbac}/namespaces/{NAMESPACE}/rolebindings", _binding("Role", subject)),
    ):
        unless(409, plane.api.create, path, body)
    request = {"spec": {"expirationSeconds": 3600}}
    made = plane.api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/agent/token", request)
    (tmp_path / "token").write_text(made["status"]["token"])
    (tmp_path / "ca.crt").write_bytes(plane.ca.read_bytes())
    host, port = plane.url.removeprefix("https://").split(":")
    monkeypatch.setenv("FLEETPEDIA_AGENT_SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)

    def remove_lease() -> None:
        unless(404, plane.api.delete, f"{LEASES}/{NAME}")

    remove_lease()
    return remove_lease


def _binding(kind: str, subjects: list[dict[str, str]]) -> dict[str, Any]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "agent"}
    return {"metadata": {"name": "agent"}, "roleRef": role, "subjects": subjects}


async def test_with_a_lease_a_restart_resumes_without_a_list(
    hub: AgentHub, plane: ControlPlane, tmp_path: Path, service_account: Callable[[], None]
) -> None:
    async with agent(hub, None, folder=tmp_path, lease="auto"):
        await hub.until(hub.in_sync, 60)
        assert hub.hellos[-1].lineage == 1
    plane.api.create("/api/v1/namespaces/default/configmaps", config_map("between"))
    async with agent(hub, None, folder=tmp_path, lease="auto") as running:
        await hub.until(lambda: ("default", "between") in hub.rows("configmaps") and running.ready, 30)
        assert hub.hellos[-1].lineage == 2
        assert not [line for line in running.metrics.samples() if line[0] == "fleetpedia_resync_total"]
    plane.api.delete("/api/v1/namespaces/default/configmaps/between")
    async with agent(hub, None, folder=tmp_path, lease="auto"):
        await hub.until(lambda: ("default", "between") not in hub.rows("configmaps"), 30)


async def test_a_lease_that_is_gone_means_comparison(
    hub: AgentHub, plane: ControlPlane, tmp_path: Path, service_account: Callable[[], None]
) -> None:
    async with agent(hub, None, folder=tmp_path, lease="auto"):
        await hub.until(hub.in_sync, 60)
    service_account()
    sent = hub.counts["object_bytes"]
    async with agent(hub, None, folder=tmp_path, lease="auto") as running:
        await hub.until(lambda: len(hub.hellos) == 2 and running.ready, 60)
        assert running.metrics.value("fleetpedia_resync_total", reason="no-lease-before") >= 50
    assert hub.counts["object_bytes"] - sent < 20_000


async def test_a_right_that_is_missing_is_named(hub: AgentHub, plane: ControlPlane, tmp_path: Path) -> None:
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get", "list", "watch"]},
        {"nonResourceURLs": ["/api*", "/version"], "verbs": ["get"]},
    ]
    plane.api.create(role, {"metadata": {"name": "narrow"}, "rules": rules})
    plane.api.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "narrow"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "narrow"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "narrow"}],
        },
    )
    user = Context("narrow", plane.url, plane.ca, plane.user("narrow"))
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", [user])
    async with agent(hub, kubeconfig, "narrow"):
        await hub.until(lambda: hub.types and hub.named("pods").state == "Denied", 60)
        assert 'User "narrow" cannot list resource "pods"' in hub.named("pods").reason
        await hub.until(lambda: stored(hub, "configmaps") == listed(plane.api, "/api/v1/configmaps"), 20)


async def test_a_crd_is_followed_within_seconds(hub: AgentHub, plane: ControlPlane, kubeconfig: Path) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    spec = {"group": "agent.example", "scope": "Namespaced", "names": names, "versions": [version]}
    async with agent(hub, kubeconfig, plane.name):
        await hub.until(hub.in_sync, 60)
        plane.api.create(crds, {"metadata": {"name": "widgets.agent.example"}, "spec": spec})
        await hub.until(lambda: "widgets.agent.example" in {h.type.name for h in hub.types.values()}, 8, "announced")
        path = "/apis/agent.example/v1/namespaces/default/widgets"
        body = {"apiVersion": "agent.example/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}
        plane.api.create(path, body)
        await hub.until(lambda: hub.rows("widgets.agent.example"), 5, "the first widget")
        before = next(iter(hub.rows("widgets.agent.example").values()))
        column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
        plane.api.patch(
            f"{crds}/widgets.agent.example", {"spec": {"versions": [{**version, "additionalPrinterColumns": [column]}]}}
        )
        await hub.until(
            lambda: next(iter(hub.rows("widgets.agent.example").values())).cells != before.cells, 5, "its column"
        )
        widgets = hub.named("widgets.agent.example")
        plane.api.delete(f"{crds}/widgets.agent.example")
        await hub.until(lambda: widgets.state == "Gone", 8, "gone")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_secrets_keep_their_keys_only(hub: AgentHub, plane: ControlPlane, kubeconfig: Path) -> None:
    canary = "r34l-c4n4ry"
    plane.api.create(
        "/api/v1/namespaces/default/secrets", {"metadata": {"name": "canary"}, "data": {"key": encoded(canary)}}
    )
    async with agent(hub, kubeconfig, plane.name):
        await hub.until(lambda: ("default", "canary") in hub.rows("secrets"), 60)
    for data in [*hub.wire_bytes, *(row.body for row in hub.rows("secrets").values())]:
        assert encoded(canary).encode() not in zstandard.decompress(data)
        assert canary.encode() not in zstandard.decompress(data)
