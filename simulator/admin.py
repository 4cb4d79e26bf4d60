"""The paths under `/_simulator/`, for those on this machine: statistics, faults and the rate of change at run time."""

from __future__ import annotations

import resource
from typing import Any

import orjson
from aiohttp import web

from .churn import Churn
from .faults import Faults, parse_fault
from .web import MemberFace


class Admin:
    """GET stats; POST faults (one entry or a list); DELETE faults[?member=]; PUT churn {"rate": R}."""

    def __init__(self, faces: dict[str, MemberFace], faults: Faults, churn: Churn) -> None:
        self._faces = faces
        self._faults = faults
        self._churn = churn

    async def handle(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if request.remote not in ("127.0.0.1", "::1"):
            return web.json_response({"error": "only from this machine"}, status=403)
        try:
            match request.method, path.strip("/"):
                case "GET", "stats":
                    return self._answer(self._stats())
                case "POST", "faults":
                    entries = orjson.loads(await request.read())
                    for fault in [parse_fault(e) for e in (entries if isinstance(entries, list) else [entries])]:
                        self._faults.begin(fault)
                    return self._answer({"active": len(self._faults.active)})
                case "DELETE", "faults":
                    self._faults.clear(request.query.get("member", ""))
                    return self._answer({"active": len(self._faults.active)})
                case "PUT", "churn":
                    self._churn.rate = float(orjson.loads(await request.read())["rate"])
                    return self._answer({"rate": self._churn.rate})
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"error": "known are GET stats, POST and DELETE faults, PUT churn"}, status=404)

    def _answer(self, content: Any) -> web.Response:
        return web.Response(body=orjson.dumps(content), content_type="application/json")

    def _stats(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        members = {
            name: {
                "requests": dict(face.counts.requests),
                "bytes_out": face.counts.bytes_out,
                "watching": face.counts.watching,
                "resource_version": face.member.rv,
            }
            for name, face in self._faces.items()
        }
        return {
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "rss_bytes": usage.ru_maxrss * 1024,
            "churn_rate": self._churn.rate,
            "churn_dropped": self._churn.dropped,
            "members": members,
        }
