"""The manifest's own service account runs the real agent, and may do nothing but read and hold its Lease."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.api import Api, ApiError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.comparing import Type, differences, index_objects, member_objects
from tests.e2e.member import config_map, quiet_pod
from tests.e2e.pod import InCluster, installed
from tests.e2e.production import Production

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
READ = {"get", "list", "watch"}


@pytest.fixture(scope="module")
def agent(production: Production, plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InCluster]:
    with installed(production, plane, "inside", tmp_path_factory.mktemp("pod")) as running:
        production.wait_until(
            lambda: production.cluster("inside")["phase"] == "Ready", "the member is in sync", timeout=40
        )
        yield running


@pytest.fixture(scope="module")
def itself(agent: InCluster, plane: ControlPlane) -> Api:
    """The member's API as the agent's service account sees it."""
    return plane.as_bearer(agent.token)


def test_the_agent_syncs_with_the_service_accounts_token(
    agent: InCluster, production: Production, plane: ControlPlane, namespace: str
) -> None:
    assert agent.process.poll() is None, agent.log.read_text()
    plane.create_namespace(namespace)
    plane.api.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("from-inside"))
    production.wait_until(lambda: production.search(f"ns:{namespace} name:from-inside"), "a change comes", timeout=5)
    production.verify("--cluster", "inside")
    for type in (Type("", "v1", "configmaps", "ConfigMap", True), Type("", "v1", "secrets", "Secret", True)):
        assert differences(member_objects(plane.api, type), index_objects(production.client, type, "inside")) == []


def test_no_type_is_denied_to_it(agent: InCluster, production: Production) -> None:
    states = {name: entry["state"] for name, entry in production.types("inside").items()}
    assert "Denied" not in states.values(), states
    assert {"pods", "secrets", "nodes", "clusterroles.rbac.authorization.k8s.io"} <= states.keys()


def test_it_holds_its_lease_in_its_own_namespace(agent: InCluster, plane: ControlPlane) -> None:
    leases = plane.api.get(LEASES.format(agent.manifest.namespace))["items"]
    assert len(leases) == 1
    [before] = leases

    def renewed() -> bool:
        [now] = plane.api.get(LEASES.format(agent.manifest.namespace))["items"]
        return bool(now["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"])

    wait_until(renewed, "the Lease is renewed", timeout=40)


WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/namespaces/default/configmaps", config_map("written")),
    ("POST", "/api/v1/namespaces/{own}/configmaps", config_map("written")),
    ("POST", "/api/v1/namespaces/default/pods", quiet_pod("written")),
    ("DELETE", "/api/v1/namespaces/default/pods/target", None),
    ("DELETE", "/api/v1/namespaces/default/configmaps", None),
    ("PUT", "/api/v1/namespaces/default/configmaps/target", config_map("target", {"a": "b"})),
    ("PATCH", "/api/v1/namespaces/default/configmaps/target", {"data": {"a": "b"}}),
    ("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "written"}}),
    ("PATCH", "/api/v1/namespaces/{own}/secrets/any", {"data": {"a": "Yg=="}}),
    ("PATCH", "/api/v1/nodes/target", {"metadata": {"labels": {"a": "b"}}}),
    ("PATCH", "/api/v1/nodes/target/status", {"status": {"phase": "Running"}}),
    ("POST", "/api/v1/namespaces", {"metadata": {"name": "written"}}),
    ("DELETE", "/api/v1/namespaces/default", None),
    ("POST", "/api/v1/namespaces/default/pods/target/eviction", {"metadata": {"name": "target"}}),
    ("POST", "/api/v1/namespaces/default/pods/target/exec?command=ls", None),
    ("PATCH", "/apis/apps/v1/namespaces/{own}/deployments/any", {"spec": {"replicas": 0}}),
    ("POST", "/api/v1/namespaces/{own}/serviceaccounts/{account}/token", {"spec": {"expirationSeconds": 600}}),
    (
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "written"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        },
    ),
    ("POST", LEASES.format("default"), {"metadata": {"name": "written"}, "spec": {}}),
    ("PATCH", LEASES.format("{own}") + "/other", {"spec": {"holderIdentity": "me"}}),
    ("DELETE", LEASES.format("kube-system") + "/other", None),
]


@pytest.mark.parametrize(
    ("method", "path", "body"), WRITES, ids=[f"{method} {path.split('?')[0]}" for method, path, _ in WRITES]
)
def test_every_write_but_its_lease_is_refused(agent: InCluster, itself: Api, method: str, path: str, body: Any) -> None:
    path = path.format(own=agent.manifest.namespace, account=agent.manifest.service_account)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(ApiError) as refused:
        itself.text(method, path, body, content_type=kind)
    assert refused.value.status == 403, refused.value
    assert agent.manifest.service_account in refused.value.body


def test_its_rules_hold_no_other_verb_than_reading_in_any_namespace(agent: InCluster, itself: Api) -> None:
    review = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    for namespace in ("default", "kube-system", agent.manifest.namespace):
        rules = itself.create(review, {"spec": {"namespace": namespace}})["status"]["resourceRules"]
        for rule in rules:
            writing = set(rule["verbs"]) - READ
            if not writing:
                continue
            if set(rule["apiGroups"]) <= {"authorization.k8s.io", "authentication.k8s.io"}:
                continue  # what every authenticated user may ask about itself
            assert namespace == agent.manifest.namespace, rule
            assert rule["apiGroups"] == ["coordination.k8s.io"], rule
            assert rule["resources"] == ["leases"], rule
            assert "*" not in writing
            # `create` cannot be bound to a name in RBAC; everything else must be.
            assert writing == {"create"} or rule.get("resourceNames"), rule


def test_the_pod_asks_for_no_privilege(agent: InCluster) -> None:
    [container] = agent.manifest.pod["containers"]
    context = {**agent.manifest.pod.get("securityContext", {}), **container["securityContext"]}
    assert context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"]["drop"] == ["ALL"]
    assert context["seccompProfile"]["type"] == "RuntimeDefault"


def test_a_token_that_is_taken_away_is_seen_and_a_new_one_is_read_without_a_restart(
    agent: InCluster, production: Production, plane: ControlPlane, namespace: str
) -> None:
    """Kubelets rotate tokens in place; the agent must not need a restart for it."""
    folder = agent.log.parent / "serviceaccount"
    good = (folder / "token").read_text()
    (folder / "token").write_text("no-token")
    (folder / "token").write_text(good)
    plane.create_namespace(namespace)
    plane.api.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("rotated"))
    production.wait_until(lambda: production.search(f"ns:{namespace} name:rotated"), "it goes on", timeout=15)
    assert agent.process.poll() is None
