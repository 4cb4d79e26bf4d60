"""`/api/v1/clusters`: the members of the fleet, shown and managed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from aggregator.status import clusters as status
from aggregator.status.views import ClusterView
from aggregator.web.rest.route import Answer, Call, Operation, Parameter
from aggregator.web.services import Services
from schema.selectors import parse_label_selector

BASE: Final = "/api/v1/clusters"
ONE: Final = f"{BASE}/{{cluster}}"


class NewCluster(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`kubeconfig`: text with inline credentials; then the agent runs beside the aggregator."""

    name: str
    labels: dict[str, str] = {}
    allow_clone: bool = False
    kubeconfig: str | None = None
    context: str | None = None


class AddedCluster(msgspec.Struct, rename="camel"):
    """`token`: the agent's credential, shown this once."""

    name: str
    token: str


class ClusterChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A label that is null is taken away; what is left out stays."""

    name: str | None = None
    labels: dict[str, str | None] | None = None
    paused: bool | None = None


class NewName(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Credential(msgspec.Struct):
    """Shown this once."""

    token: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty body, or {}."""


class ClusterList(msgspec.Struct):
    items: list[ClusterView]


_SELECTOR = Parameter("labelSelector", "only clusters with these labels, as kubectl's -l")
_MANIFEST = (
    Parameter("image", "the agent's image"),
    Parameter("namespace", "where it runs; only fleetpedia-system is possible now"),
)


def operations(services: Services) -> list[Operation]:
    database, catalog, clusters = services.database, services.catalog, services.clusters

    async def shown(call: Call, name: str) -> ClusterView:
        return await status.one_cluster(database, catalog, call.actor.scope, name)

    async def list_all(call: Call) -> Any:
        found = await status.all_clusters(database, catalog, call.actor.scope)
        if "labelSelector" in call.query:
            selector = parse_label_selector(call.query["labelSelector"])
            found = [view for view in found if selector.matches(view.labels)]
        return ClusterList(found)

    async def get(call: Call) -> Any:
        return await shown(call, call.path["cluster"])

    async def add(call: Call) -> Any:
        body: NewCluster = call.body
        kubeconfig = None if body.kubeconfig is None else body.kubeconfig.encode()
        added = await clusters.add(
            call.actor,
            body.name,
            labels=body.labels,
            allow_clone=body.allow_clone,
            kubeconfig=kubeconfig,
            context=body.context,
        )
        return AddedCluster(added.name, added.token)

    async def change(call: Call) -> Any:
        body: ClusterChange = call.body
        name = await clusters.change(
            call.actor, call.path["cluster"], rename=body.name, labels=body.labels, paused=body.paused
        )
        return await shown(call, name)

    async def rename(call: Call) -> Any:
        return await shown(call, await clusters.change(call.actor, call.path["cluster"], rename=call.body.name))

    async def pause(call: Call) -> Any:
        return await shown(call, await clusters.change(call.actor, call.path["cluster"], paused=True))

    async def resume(call: Call) -> Any:
        return await shown(call, await clusters.change(call.actor, call.path["cluster"], paused=False))

    async def rotate(call: Call) -> Any:
        return Credential(await clusters.rotate(call.actor, call.path["cluster"]))

    async def rebind(call: Call) -> Any:
        await clusters.rebind(call.actor, call.path["cluster"])
        return await shown(call, call.path["cluster"])

    async def manifest(call: Call) -> Any:
        text = await services.manifests.make(
            call.actor, call.path["cluster"], call.query.get("image", ""), call.query.get("namespace", "")
        )
        return Answer(text.encode(), media_type="application/yaml")

    async def remove(call: Call) -> Any:
        await clusters.remove(call.actor, call.path["cluster"])
        return await shown(call, call.path["cluster"])

    return [
        Operation("listClusters", "GET", BASE, "All clusters, by name", list_all, (_SELECTOR,), answer=ClusterList),
        Operation("getCluster", "GET", ONE, "One cluster with its types", get, answer=ClusterView),
        Operation(
            "addCluster", "POST", BASE, "Register a cluster", add, body=NewCluster, answer=AddedCluster, status=201
        ),
        Operation(
            *("changeCluster", "PATCH", ONE, "Change name, labels or pause", change),
            body=ClusterChange,
            answer=ClusterView,
        ),
        Operation("renameCluster", "POST", f"{ONE}/rename", "Rename", rename, body=NewName, answer=ClusterView),
        Operation("pauseCluster", "POST", f"{ONE}/pause", "Sync no more", pause, body=Nothing, answer=ClusterView),
        Operation("resumeCluster", "POST", f"{ONE}/resume", "Go on", resume, body=Nothing, answer=ClusterView),
        Operation(
            *("rotateCluster", "POST", f"{ONE}/rotate", "New credential; the old ones are void", rotate),
            body=Nothing,
            answer=Credential,
        ),
        Operation(
            *("rebindCluster", "POST", f"{ONE}/rebind", "Let another member take the credential", rebind),
            body=Nothing,
            answer=ClusterView,
        ),
        Operation(
            *("makeManifest", "POST", f"{ONE}/manifest", "YAML that installs the agent, with a new credential"),
            *(manifest, _MANIFEST),
            body=Nothing,
            answer=str,
            media_type="application/yaml",
        ),
        Operation(
            *("removeCluster", "DELETE", ONE, "Credential void at once, rows in the background", remove),
            answer=ClusterView,
            status=202,
        ),
    ]
