"""`fleetpedia verify`: the agents list anew, every object is compared with the index; this prints what came out."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.connection import connect, local_folder
from aggregator.client import ApiError, Client, UnreachableError
from aggregator.settings import duration

_SHOWN = 20
_POLL_SECONDS = 0.2
_PAUSE_SECONDS = 0.5
_SLACK_SECONDS = 300.0
"""For the comparison itself, after everything is in sync."""


def verify(options: argparse.Namespace) -> int:
    """Exit 0 equal, 1 different, 3 not checked."""
    seconds = duration(options.timeout)
    client = connect(options)
    deadline = time.monotonic() + seconds
    body = {"clusters": options.cluster, "types": options.type, "repair": options.repair}
    report: dict[str, Any] | None = None
    while report is None:
        left = deadline - time.monotonic()
        body["timeout"] = max(1.0, left)
        try:
            report = _proof(client, body, deadline)
            # A member that has just come back: what could not be compared now can be in a moment.
            if left > _PAUSE_SECONDS and _may_settle(client, report):
                report = None
        except (UnreachableError, ApiError) as error:
            if left <= 0 or not _comes_back(options, error):
                raise
        if report is None:
            time.sleep(_PAUSE_SECONDS)
    if options.output == "json":
        output.document(report, "json")
    else:
        _print(report)
    return _code(report)


def _proof(client: Client, body: dict[str, Any], deadline: float) -> dict[str, Any]:
    """The report; where the server answers with an operation, its result once it is finished."""
    answer: dict[str, Any] = client.post("/api/v1/verify", body)
    until = max(deadline, time.monotonic()) + _SLACK_SECONDS
    while "equal" not in answer:
        if answer.get("phase") in ("Succeeded", "Failed"):
            if answer.get("result"):
                return dict(answer["result"])
            raise ApiError(503, f"not checked: {answer.get('message') or 'no result'}")
        if time.monotonic() > until:
            raise ApiError(503, f"not checked: operation {answer['id']} does not end")
        time.sleep(_POLL_SECONDS)
        answer = client.get(f"/api/v1/operations/{answer['id']}")
    return answer


def _comes_back(options: argparse.Namespace, error: UnreachableError | ApiError) -> bool:
    """Whether the server is one that an `up` of this machine is about to start again."""
    folder = local_folder(options)
    gone = isinstance(error, UnreachableError) or error.status == 503
    return gone and folder is not None and folder.is_held()


def _may_settle(client: Client, report: dict[str, Any]) -> bool:
    """Whether trying again may help: nothing was found to differ, and what was not compared is not denied or paused."""
    unchecked = report.get("unchecked") or []
    if report.get("equal") is not None or not unchecked:
        return False
    clusters = {cluster["name"]: cluster for cluster in client.get("/api/v1/clusters")["items"]}
    for entry in unchecked:
        cluster = clusters.get(entry["name"]) or {"phase": "Removing"}
        states = {type["type"]: type["state"] for type in cluster.get("types") or []}
        if cluster["phase"] not in ("Paused", "Removing") and states.get(entry["type"]) != "Denied":
            return True
    return False


def _code(report: dict[str, Any]) -> int:
    if report.get("equal") is None or report.get("unchecked"):
        return cli.NEGATIVE if _differs(report) else cli.UNREACHABLE
    return cli.GOOD if report["equal"] else cli.NEGATIVE


def _differs(report: dict[str, Any]) -> bool:
    return any(entry[what] for entry in report["clusters"] for what in ("missing", "ghost", "different"))


def _print(report: dict[str, Any]) -> None:
    entries = report.get("clusters") or []
    rows = [
        [entry["name"], entry["type"], entry["member"], entry["store"], _verdict(entry)]
        for entry in sorted(entries, key=lambda entry: (entry["name"], entry["type"]))
    ]
    output.table(["CLUSTER", "TYPE", "MEMBER", "INDEX", "RESULT"], rows)
    for entry in entries:
        for what in ("missing", "ghost", "different"):
            names = entry.get(what) or []
            output.lines(f"{what}: {entry['name']} {entry['type']} {name}" for name in names[:_SHOWN])
            output.lines([f"  and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])
    print(_conclusion(report, entries), file=sys.stderr)


def _verdict(entry: dict[str, Any]) -> str:
    if entry.get("reason"):
        return f"not checked: {entry['reason']}"
    counts = [f"{len(entry[what])} {what}" for what in ("missing", "ghost", "different") if entry.get(what)]
    return ", ".join(counts) or "equal"


def _conclusion(report: dict[str, Any], entries: list[dict[str, Any]]) -> str:
    total = sum(int(entry.get("member") or 0) for entry in entries)
    clusters = len({entry["name"] for entry in entries})
    if report.get("equal"):
        return f"equal: {total:,} objects of {clusters} clusters, compared one by one"
    if report.get("equal") is None:
        return f"not checked: {report.get('reason') or 'see above'}"
    return "different: see above; --repair brings over what differs"
