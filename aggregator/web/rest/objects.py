"""`/api/v1/objects/…`: one object of one cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from aggregator.search.query import every
from aggregator.web.kube.face import Face
from aggregator.web.kube.lists import question
from aggregator.web.kube.paths import Target
from aggregator.web.kube.render import JsonRenderer
from aggregator.web.kube.warnings import headers, warnings
from aggregator.web.rest.route import Answer, Call, Operation
from aggregator.web.services import Services
from schema.errors import NotFound

PATH: Final = "/api/v1/objects/{cluster}/{group}/{version}/{resource}/{namespace}/{name}"


def operations(services: Services) -> list[Operation]:
    async def get(call: Call) -> Any:
        path = call.path
        group = "" if path["group"] == "core" else path["group"]
        namespace = "" if path["namespace"] == "-" else path["namespace"]
        face = Face.of(services.catalog, call.actor.scope, path["cluster"])
        type = face.type((group, path["version"], path["resource"]))
        target = Target("objects", group, path["version"], path["resource"], namespace, path["name"])
        query = replace(question(face, type, target, every()), limit=2)
        rendering = JsonRenderer(services.catalog, type)
        page = await services.engine.page(query, face.scope, rendering.want)
        rows = [row for row in page.rows if row.namespace == namespace]
        if not rows:
            where = f" in namespace {namespace}" if namespace else ""
            raise NotFound(f'{type.definition.name} "{path["name"]}"{where} not found in cluster {path["cluster"]}')
        return Answer(rendering.item(rows[0]), headers(warnings(face, type, datetime.now(UTC))))

    return [
        Operation(
            *("getObject", "GET", PATH, "One object, whole", get),
            answer=dict[str, Any],
            path_help={
                "group": "API group, `core` for the core group",
                "namespace": "`-` for cluster-scoped objects",
            },
        )
    ]
