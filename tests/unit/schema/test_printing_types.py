"""Corners of printers that a real API server is hard to bring into; the rest is held to the server in tests/e2e."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schema.printing import PRINTERS, Cell, Since, printer_for


def cells(group: str, resource: str, obj: dict[str, Any]) -> dict[str, Cell]:
    printer = printer_for(group, resource)
    assert printer is not None
    return dict(zip([column.name for column in printer.columns], printer.cells(obj), strict=True))


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, **state}


def test_a_pod_that_is_only_a_name_is_printed() -> None:
    assert cells("", "pods", {"metadata": {"name": "bare"}}) == {
        "Name": "bare",
        "Ready": "0/0",
        "Status": "",
        "Restarts": "0",
        "Age": Since(""),
        "IP": "<none>",
        "Node": "<none>",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


def test_the_first_containers_reason_stands_for_the_pod() -> None:
    statuses = [
        container("a", state={"waiting": {"reason": "CrashLoopBackOff"}}),
        container("b", state={"waiting": {"reason": "ErrImagePull"}}),
    ]
    assert cells("", "pods", {"status": {"containerStatuses": statuses}})["Status"] == "CrashLoopBackOff"


def test_the_latest_end_of_a_container_dates_the_restarts() -> None:
    def ended(at: str) -> dict[str, Any]:
        return {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "finishedAt": at}}}

    statuses = [container("a", **ended("2026-01-02T00:00:00Z")), container("b", **ended("2026-01-01T00:00:00Z"))]
    restarts = cells("", "pods", {"status": {"containerStatuses": statuses}})["Restarts"]
    assert restarts == Since("2026-01-02T00:00:00Z", "4 (%s ago)")


def test_an_older_member_that_has_no_list_of_addresses_shows_the_one() -> None:
    assert cells("", "pods", {"status": {"podIP": "10.0.0.1"}})["IP"] == "10.0.0.1"
    assert cells("", "services", {"spec": {"clusterIP": "10.0.0.2"}})["Cluster-IP"] == "10.0.0.2"


def test_what_go_writes_as_null_is_taken_for_empty() -> None:
    obj = {
        "metadata": {"name": "x", "creationTimestamp": None},
        "endpoints": None,
        "ports": None,
        "addressType": "IPv4",
    }
    assert cells("discovery.k8s.io", "endpointslices", obj)["Endpoints"] == "<unset>"


@pytest.mark.parametrize(("group", "resource"), sorted(PRINTERS))
def test_every_printer_prints_an_empty_object_into_all_its_columns(group: str, resource: str) -> None:
    printer = PRINTERS[group, resource]
    unnamed_age = 1 if resource == "ipaddresses" else 0  # the API server's own row has one cell too many there
    assert len(printer.cells(b"{}")) == len(printer.columns) + unnamed_age


@pytest.mark.parametrize(("group", "resource"), sorted(PRINTERS))
def test_every_column_tells_what_it_is(group: str, resource: str) -> None:
    undescribed = {"leasecandidates": {"BinaryVersion", "EmulationVersion"}, "runtimeclasses": {"Handler"}}
    silent = {column.name for column in PRINTERS[group, resource].columns if not column.description}
    assert silent <= undescribed.get(resource, set())


def test_a_field_of_another_type_is_an_error_that_names_it() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.spec\.replicas"):
        cells("apps", "deployments", {"spec": {"replicas": "three"}})


def test_a_pod_certificate_request_shows_its_last_state() -> None:
    conditions = [{"type": "Other", "status": "True"}, {"type": "Denied", "status": "True"}]
    obj = {
        "metadata": {"name": "x"},
        "spec": {"podName": "p", "nodeName": "n", "signerName": "s", "unverifiedUserAnnotations": {"b": "2", "a": "1"}},
        "status": {"conditions": conditions},
    }
    printed = cells("certificates.k8s.io", "podcertificaterequests", obj)
    assert printed["State"] == "Denied"
    assert printed["UnverifiedUserAnnotations"] == "a=1,b=2"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ({"key": "a", "operator": "In"}, "<error>"),
        ({"key": "a", "operator": "Exists", "values": ["b"]}, "<error>"),
        ({"key": "a", "operator": "Near"}, "<error>"),
        ({"key": "a", "operator": "NotIn", "values": ["c", "b"]}, "a notin (b,c)"),
    ],
)
def test_a_selector_that_is_not_valid_says_so(expression: dict[str, Any], text: str) -> None:
    selector = {"matchExpressions": [expression]}
    assert cells("apps", "replicasets", {"spec": {"selector": selector}})["Selector"] == text
    invalid = "<invalid>" if text == "<error>" else text
    assert cells("apps", "deployments", {"spec": {"selector": selector}})["Selector"] == invalid


def test_an_eviction_shows_the_responder_that_is_at_work() -> None:
    responder = {
        "name": "example.com/two",
        "startTime": "2026-01-01T00:00:00Z",
        "heartbeatTime": "2026-01-01T00:01:00Z",
        "expectedCompletionTime": "2026-01-01T01:00:00Z",
        "message": " at work ",
    }
    states = [("one", "Completed"), ("two", "Active"), ("three", "Inactive")]
    status = {
        "targetResponders": [{"name": f"example.com/{name}", "state": state} for name, state in states],
        "responders": [responder],
        "requesters": [{"name": "b", "intent": "Withdrawn"}],
    }
    printed = cells("lifecycle.k8s.io", "evictions", {"metadata": {"name": "x"}, "status": status})
    assert printed["Active Responder"] == "example.com/two (2/3)"
    assert printed["Responder Status"] == Since("2026-01-01T00:00:00Z", "Started (%s ago)")
    assert printed["Responder Expected Finish"] == Since("2026-01-01T01:00:00Z", "%s ago", "in %s")
    assert printed["Responder Heartbeat"] == Since("2026-01-01T00:01:00Z", "%s ago")
    assert printed["Responder Status Message"] == "at work"
    assert printed["Requesters"] == "<withdrawn>"


def test_an_eviction_whose_responders_are_done_shows_the_last() -> None:
    status = {
        "targetResponders": [{"name": "a", "state": "Canceled"}, {"name": "b", "state": "Completed"}],
        "responders": [{"name": "b", "completionTime": "2026-01-01T00:00:00Z"}],
    }
    printed = cells("lifecycle.k8s.io", "evictions", {"metadata": {"name": "x"}, "status": status})
    assert printed["Active Responder"] == "b (2/2)"
    assert printed["Responder Status"] == Since("2026-01-01T00:00:00Z", "Completed (%s ago)")
    assert printed["Responder Expected Finish"] == "-"
