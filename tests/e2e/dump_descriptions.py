"""`python -m tests.e2e.dump_descriptions`: asks a real API server for the descriptions of all Table columns and writes
schema/printing/descriptions.json anew. Run it when the control plane's Kubernetes version changes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from schema.printing import descriptions
from tests.controlplane.build import binaries
from tests.controlplane.components import API_SERVER, ETCD
from tests.controlplane.plane import ControlPlane
from tests.e2e.test_printing_oracle import ALL_APIS, NOT_COMPARED, TableApi, discover

COMMON = ("Name", "Age", "Created At")


def dump(plane: ControlPlane) -> dict[str, dict[str, str]]:
    """By type and column; what most types say of their common columns stands under `*`, once."""
    tables = TableApi(plane.url, plane.ca, plane.admin)
    common: dict[str, str] = {}
    types: dict[str, dict[str, str]] = {}
    for resource in discover(plane.api):
        if (resource.group, resource.name) in NOT_COMPARED:
            continue
        columns = json.loads(tables.text("GET", resource.path()))["columnDefinitions"]
        texts = {column["name"]: column["description"] for column in columns}
        for name in COMMON:
            if name in texts:
                common.setdefault(name, texts[name])
        own = {name: text for name, text in texts.items() if common.get(name) != text}
        if own:
            types[f"{resource.name}.{resource.group}" if resource.group else resource.name] = own
    return {"*": common, **types}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="descriptions-") as folder:
        plane = ControlPlane(Path(folder), programs=binaries(), extra={API_SERVER: ALL_APIS})
        try:
            plane.start(ETCD)
            plane.start(API_SERVER)
            found = dump(plane)
        finally:
            plane.stop()
    file = Path(descriptions.__file__).with_suffix(".json")
    file.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    print(f"{file}: {len(found) - 1} types")


if __name__ == "__main__":
    main()
