"""Pods: most of a fleet, so decoding and printing one is kept to some 20 µs."""

from __future__ import annotations

from typing import Final

import msgspec

from schema.printing.columns import Cell, Since
from schema.printing.printer import AGE, NAME, NONE, Condition, Fields, Metadata, Printer, text, wide


class InitContainer(Fields):
    name: str = ""
    restart_policy: str | None = None


class ReadinessGate(Fields):
    condition_type: str = ""


class PodSpec(Fields):
    containers: list[msgspec.Raw] | None = None
    init_containers: list[InitContainer] | None = None
    readiness_gates: list[ReadinessGate] | None = None
    node_name: str = ""
    restart_policy: str = ""
    scheduler_name: str = ""
    service_account_name: str = ""
    host_network: bool = False


class Terminated(Fields):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    finished_at: str | None = None


class Waiting(Fields):
    reason: str = ""


class Running(Fields):
    pass


class State(Fields):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Fields):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: State | None = None
    last_state: State | None = None


class PodIP(Fields):
    ip: str = ""


class PodStatus(Fields):
    phase: str = ""
    reason: str = ""
    nominated_node_name: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    pod_ip: str = msgspec.field(name="podIP", default="")
    pod_ips: list[PodIP] | None = msgspec.field(name="podIPs", default=None)


class Pod(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


NO_STATE: Final = State()


class Tally:
    """What walking over the containers gathers: readiness, restarts, and the reason that stands for the pod."""

    __slots__ = ("last_restart", "ready", "reason", "restarts")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""

    def restarted(self, container: ContainerStatus) -> None:
        self.restarts += container.restart_count
        ended = (container.last_state or NO_STATE).terminated
        # RFC 3339 in UTC with whole seconds: the order of the texts is the order of the times.
        if ended is not None and ended.finished_at and ended.finished_at > self.last_restart:
            self.last_restart = ended.finished_at


def pod_cells(pod: Pod) -> list[Cell]:
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    tally, total = _tally(pod)
    restarts: Cell = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts = Since(tally.last_restart, f"{tally.restarts} (%s ago)")
    return [
        metadata.name,
        f"{tally.ready}/{total}",
        tally.reason,
        restarts,
        Since(metadata.creation_timestamp or ""),
        _ip(status) or NONE,
        spec.node_name or NONE,
        status.nominated_node_name or NONE,
        _readiness_gates(spec, status) if spec.readiness_gates else NONE,
    ]


def _tally(pod: Pod) -> tuple[Tally, int]:
    """What the containers say, and how many of them count."""
    spec, status = pod.spec, pod.status
    total = len(spec.containers or ())
    tally = Tally(status.reason or status.phase)
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            tally.reason = "SchedulingGated"
    initializing = False
    if spec.init_containers:
        sidecars = {c.name for c in spec.init_containers if c.restart_policy == "Always"}
        total += sum(1 for c in spec.init_containers if c.restart_policy == "Always")
        initializing = _initialize(tally, pod, sidecars)
    elif status.init_container_statuses:
        initializing = _initialize(tally, pod, set())
    if not initializing or _is_true(status.conditions, "Initialized"):
        _run(tally, status)
    if pod.metadata.deletion_timestamp is not None:
        if status.reason == "NodeLost":
            tally.reason = "Unknown"
        elif status.phase not in ("Failed", "Succeeded"):
            tally.reason = "Terminating"
    return tally, total


def _initialize(tally: Tally, pod: Pod, sidecars: set[str]) -> bool:
    """Walk the init containers up to the first that is not done. True while the pod is initializing.

    Restarts of ordinary init containers count only until the pod runs; sidecars count always."""
    own = Tally("")
    initializing = False
    for position, container in enumerate(pod.status.init_container_statuses or ()):
        sidecar = container.name in sidecars
        tally.restarted(container)
        if sidecar:
            own.restarted(container)
        state = container.state or NO_STATE
        ended = state.terminated
        if ended is not None and ended.exit_code == 0:
            continue
        if sidecar and container.started:
            tally.ready += container.ready
            continue
        if ended is not None:
            tally.reason = f"Init:{_ending(ended)}"
        elif state.waiting is not None and state.waiting.reason not in ("", "PodInitializing"):
            tally.reason = f"Init:{state.waiting.reason}"
        else:
            tally.reason = f"Init:{position}/{len(pod.spec.init_containers or ())}"
        initializing = True
        break
    if not initializing or _is_true(pod.status.conditions, "Initialized"):
        tally.restarts, tally.last_restart = own.restarts, own.last_restart
    return initializing


def _run(tally: Tally, status: PodStatus) -> None:
    """Walk the containers from the last to the first, so that the first one's reason wins."""
    running = False
    error = ""
    for container in reversed(status.container_statuses or ()):
        tally.restarted(container)
        state = container.state or NO_STATE
        if state.waiting is not None and state.waiting.reason:
            tally.reason = state.waiting.reason
        elif state.terminated is not None:
            tally.reason = _ending(state.terminated)
            if state.terminated.exit_code != 0:
                error = tally.reason
        elif container.ready and state.running is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed":
        if running and _is_true(status.conditions, "Ready"):
            tally.reason = "Running"
        elif error:
            tally.reason = error
        elif running:
            tally.reason = "NotReady"


def _ending(ended: Terminated) -> str:
    if ended.reason:
        return ended.reason
    return f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"


def _is_true(conditions: list[Condition] | None, type: str) -> bool:
    for condition in conditions or ():
        if condition.type == type:
            return condition.status == "True"
    return False


def _ip(status: PodStatus) -> str:
    return status.pod_ips[0].ip if status.pod_ips else status.pod_ip


def _readiness_gates(spec: PodSpec, status: PodStatus) -> str:
    gates = spec.readiness_gates or []
    return f"{sum(_is_true(status.conditions, gate.condition_type) for gate in gates)}/{len(gates)}"


def pod_fields(pod: Pod) -> list[str]:
    spec, status = pod.spec, pod.status
    return [
        f"spec.nodeName={spec.node_name}",
        f"spec.restartPolicy={spec.restart_policy}",
        f"spec.schedulerName={spec.scheduler_name}",
        f"spec.serviceAccountName={spec.service_account_name}",
        f"spec.hostNetwork={'true' if spec.host_network else 'false'}",
        f"status.phase={status.phase}",
        f"status.podIP={_ip(status)}",
        f"status.nominatedNodeName={status.nominated_node_name}",
    ]


PRINTERS = (
    Printer(
        "",
        "pods",
        Pod,
        (
            NAME,
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ),
        pod_cells,
        status="Status",
        fields=pod_fields,
    ),
)
