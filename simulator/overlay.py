"""What changed in a member since its seed, as JSON: written at a stop in good order, read at the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from .apps import App
from .bodies import config, events, network, nodes, workloads
from .member import Member
from .rows import Row, SeedRow, WrittenRow
from .template import Template


def _template(member: Member, apps: dict[int, App], key: tuple[Any, ...]) -> Template:
    """The template that has this key. Only kinds that churn changes need to be found again."""
    templates = member.population.templates
    kind, *rest = key
    match kind:
        case "pod":
            return templates.pod(apps[rest[0]], rest[1])
        case "deployment":
            return templates.get(workloads.deployment_template, apps[rest[0]], rest[1])
        case "replicaset":
            return templates.get(workloads.replicaset_template, apps[rest[0]], rest[1])
        case "node":
            return templates.get(nodes.node_template, *rest)
        case "event":
            return templates.get(events.event_template, *rest)
        case "configmap":
            return templates.get(config.configmap_template, apps[rest[0]])
        case "filler":
            return templates.get(config.filler_template, *rest)
        case "endpointslice":
            return templates.get(network.endpointslice_template, apps[rest[0]])
        case "lease" | "root-ca":
            return next(template for template in templates.known() if template.key == key)
    raise ValueError(f"no template for {key}")


def _row(row: Row) -> dict[str, Any]:
    if isinstance(row, SeedRow):
        return {
            "template": row.template.key,
            "ordinal": row.ordinal,
            "namespace": row.namespace,
            "name": row.name,
            "values": [value.decode() for value in row.values],
            "owner": row.owner,
        }
    if isinstance(row, WrittenRow):
        return {"written": row.text(), "custom": row.custom}
    raise TypeError(f"{type(row).__name__} cannot be kept")


def save(member: Member, path: Path) -> None:
    """Writes the file, or removes it where nothing has changed."""
    types: list[Any] = []
    for storage, objects in member.all_objects():
        if objects.changed:
            entries = [
                [key.decode(), None if held is None else [held[1], _row(held[0])]]
                for key, held in objects.changed.items()
            ]
            types.append([storage, entries])
    if not types:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"ordinal": member.next_ordinal, "types": types}))


def load(member: Member, path: Path) -> None:
    """Puts the changes back, at the versions they had, without telling any watch of them."""
    if not path.exists():
        return
    kept = orjson.loads(path.read_bytes())
    apps = {app.index: app for app in member.population.apps}
    member.next_ordinal = kept["ordinal"]
    for storage, entries in kept["types"]:
        objects = member.objects(tuple(storage))
        for key, held in entries:
            if held is None:
                objects.restore(key.encode(), None)
                continue
            rv, content = held
            objects.restore(key.encode(), (_restored(member, apps, content), rv))
    member.define_all()


def _restored(member: Member, apps: dict[int, App], content: dict[str, Any]) -> Row:
    if "written" in content:
        return WrittenRow(orjson.loads(content["written"]), content["custom"])
    template = _template(member, apps, tuple(content["template"]))
    values = tuple(value.encode() for value in content["values"])
    return SeedRow(template, content["ordinal"], content["namespace"], content["name"], values, content["owner"])
