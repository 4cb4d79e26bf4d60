"""The OpenAPI 3.1 document of the REST face, from the table of routes and the types of the bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from aggregator.web.rest.route import Route

_TEMPLATE: Final = "#/components/schemas/{name}"


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    bodies = [kind for route in routes for kind in (route.body, route.result) if isinstance(kind, type)]
    unique = list(dict.fromkeys(bodies))
    references, schemas = msgspec.json.schema_components(unique, ref_template=_TEMPLATE)
    known = dict(zip(unique, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fleetpedia",
            "version": version,
            "description": "A living, exact, searchable index of every object in every Kubernetes cluster of a fleet.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": _PROBLEM},
        },
    }


def _operation(route: Route, known: dict[type, dict[str, Any]]) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", route.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names] + [
        {"name": p.name, "in": "query", "description": p.description, "schema": p.schema} for p in route.parameters
    ]
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "responses": {
            str(route.status): {
                "description": route.summary,
                "content": {route.content: {"schema": _result(route, known)}},
            },
            "default": {
                "description": "What was wrong, where, and what would be right (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": _TEMPLATE.format(name="Problem")}}},
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": known[route.body]}}}
    return operation


def _result(route: Route, known: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(route.result, dict):
        return route.result
    return {"type": "object"} if route.result is None else known[route.result]


_PROBLEM: Final = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "message": {"type": "string"},
        "details": {"type": "object"},
        "instance": {"type": "string"},
        "requestId": {"type": "string"},
    },
}
