"""OpenAPI 3.1 of the REST face, made from the table of operations and the types that they take and answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
import orjson

from aggregator.web.rest.route import Answer, Call, Operation

PATH: Final = "/openapi.json"
_TEMPLATE: Final = "#/components/schemas/{name}"


class Problem(msgspec.Struct):
    """RFC 9457, with `reason` as Kubernetes names it; `message` is `detail`."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    message: str
    details: dict[str, Any]
    instance: str
    requestId: str  # noqa: N815 (as it is on the wire)


def operations(table: Sequence[Operation]) -> list[Operation]:
    """The operation that serves the document of `table` and of itself."""

    async def serve(call: Call) -> Any:
        return Answer(described)

    own = Operation("getOpenApi", "GET", PATH, "This document", serve, answer=dict[str, Any])
    described = orjson.dumps(document([*table, own]))
    return [own]


def document(table: Sequence[Operation]) -> dict[str, Any]:
    types = list(_types(table))
    references, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    schemas = dict(zip(map(repr, types), references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fleetpedia",
            "version": version("fleetpedia"),
            "description": "A living index of every object in every Kubernetes cluster of a fleet.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(table: Iterable[Operation]) -> Iterable[Any]:
    yield Problem
    seen = {repr(Problem)}
    for operation in table:
        for type in (operation.body, operation.answer):
            if type is not None and repr(type) not in seen:
                seen.add(repr(type))
                yield type


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[repr(operation.body)]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            **({"description": operation.path_help[name]} if name in operation.path_help else {}),
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": description, "schema": dict(schema)}
        for name, description, schema in operation.parameters
    ]


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": schemas[repr(Problem)]}}
    good: dict[str, Any] = {"description": operation.summary}
    if operation.reserved:
        good = {"description": "Not built yet; the message says what to use instead", "content": problem}
    elif operation.answer is not None:
        good["content"] = {operation.media_type: {"schema": schemas[repr(operation.answer)]}}
    return {
        str(operation.status): good,
        "default": {"description": "What was wrong and what is right", "content": problem},
    }
