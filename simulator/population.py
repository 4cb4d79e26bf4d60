"""What a member holds before anything changes: a function of the seed, shared by all members of one variant."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .apps import TEAMS, App, make_app, suffix
from .bodies import access, config, custom, events, network, nodes, pods, storage, workloads
from .bodies.common import stamp
from .rows import SeedRow
from .template import Template
from .types import StorageKey

VARIANTS = 8
"""Members beyond this many share populations (names, states), never uids: what a fleet of 1,000 keeps is bounded."""
SYSTEM = ("default", "fleetpedia-system", "kube-node-lease", "kube-public", "kube-system")
LONG_AGO = 90 * 86400
"""Seconds before the fleet's birth at which its oldest objects were made."""


class Templates:
    """Compiled texts of the whole fleet, made when first used."""

    def __init__(self, seed: int, pod_bytes: int) -> None:
        self.seed = seed
        self.pod_bytes = pod_bytes
        self._known: dict[tuple[Any, ...], Template] = {}

    def get(self, make: Callable[..., Template], *args: Any) -> Template:
        key = (make, *(arg.index if isinstance(arg, App) else arg for arg in args))
        template = self._known.get(key)
        if template is None:
            template = self._known[key] = make(*args)
        return template

    def known(self) -> list[Template]:
        return list(self._known.values())

    def pod(self, app: App, state: str) -> Template:
        return self.get(pods.pod_template, app, state, self.pod_bytes)


@dataclass
class SeedSet:
    """The objects of one type in the order of their keys."""

    keys: list[bytes] = field(default_factory=list)
    rows: list[SeedRow] = field(default_factory=list)


def key_of(namespace: str, name: str) -> bytes:
    """The end of the key in etcd, whose byte order is the order of lists."""
    return f"{namespace}/{name}".encode() if namespace else name.encode()


class Population:
    """All objects of one variant. `born` is the fleet's birth in unix seconds: ages count back from it."""

    def __init__(self, templates: Templates, variant: int, objects: int, born: int, only: str = "") -> None:
        self.templates = templates
        self.born = born
        self.objects = objects
        self.only = only
        self.sets: dict[StorageKey, SeedSet] = {}
        self.apps: list[App] = []
        self.node_names: list[str] = []
        self.count = 0
        self._rng = random.Random(f"population {templates.seed} {variant}")
        self._rows: dict[StorageKey, list[SeedRow]] = {}
        self._pod_names: set[tuple[str, str]] = set()
        self._build()
        for storage_key, rows in self._rows.items():
            by_key = {key_of(row.namespace, row.name): row for row in rows}
            if len(by_key) != len(rows):
                raise AssertionError(f"population of seed {templates.seed}: two {storage_key} have one name")
            keys = sorted(by_key)
            self.sets[storage_key] = SeedSet(keys, [by_key[key] for key in keys])
        self._rows, self._pod_names = {}, set()

    def _add(
        self,
        storage_key: StorageKey,
        template: Template,
        namespace: str,
        name: str,
        values: tuple[bytes, ...],
        owner: int = 0,
    ) -> int:
        self.count += 1
        row = SeedRow(template, self.count, namespace, name, values, owner)
        self._rows.setdefault(storage_key, []).append(row)
        return self.count

    def _age(self, most: int = LONG_AGO) -> bytes:
        return stamp(self.born - self._rng.randint(60, most))

    def _address(self) -> bytes:
        rng = self._rng
        return b"10.%d.%d.%d" % (rng.randint(0, 250), rng.randint(0, 250), rng.randint(2, 250))

    # -- the parts -------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        total = max(self.objects, 1)
        count = max(2, total // 100)
        teams = [TEAMS[i % len(TEAMS)] + (f"-{i // len(TEAMS) + 1}" if i >= len(TEAMS) else "") for i in range(count)]
        for name in ("kube-system", *(name for name in SYSTEM if name != "kube-system")):
            self._namespace(name, "")
        for index, name in enumerate(teams):
            self._namespace(name, ("prod", "prod", "staging", "dev")[index % 4])
        self._nodes(max(3, total // 100))
        self._cluster_objects()
        self._system_apps()
        builders = self._pod_apps(teams) if self.only == "pods" else self._all_apps(teams)
        for _ in builders:
            if self.count >= total - 30:
                break
        self._fill(total)

    def _fill(self, total: int) -> None:
        """What is missing to `total`: dashboards, or single pods where only pods are wanted."""
        number = 0
        while self.count < total:
            if self.only == "pods":
                self._pod(self.apps[number % len(self.apps)], "", 0, pods.RUNNING)
            else:
                namespace = self.apps[number % len(self.apps)].namespace if self.apps else "default"
                template = self.templates.get(config.filler_template, number % 20)
                self._add(("", "configmaps"), template, namespace, f"dashboard-{number}", (self._age(), b"0"))
            number += 1

    def _namespace(self, name: str, env: str) -> None:
        born = self._age()
        get = self.templates.get
        self._add(("", "namespaces"), get(nodes.namespace_template, name, env), "", name, (born,))
        if self.only != "pods":
            values = (born, b"")
            self._add(("", "configmaps"), get(config.root_ca_template), name, "kube-root-ca.crt", values)
            self._add(("", "serviceaccounts"), get(config.service_account_template), name, "default", values)

    def _nodes(self, count: int) -> None:
        for index in range(count):
            name = f"node-{index:03d}"
            self.node_names.append(name)
            state = nodes.READY
            if index % 17 == 5:
                state = nodes.NOT_READY
            elif index % 13 == 7:
                state = nodes.CORDONED
            now = stamp(self.born)
            values = (
                self._age(),
                self._age(86400),
                self._address(),
                now,
                b"%08x" % index,
                b"10.%d.%d.0/24" % divmod(index, 256),
            )
            template = self.templates.get(nodes.node_template, state, index % 3)
            node = self._add(("", "nodes"), template, "", name, values)
            lease = (values[0], b"", now[:-1] + b".000000Z")
            template = self.templates.get(access.lease_template)
            self._add(("coordination.k8s.io", "leases"), template, "kube-node-lease", name, lease, node)

    def _cluster_objects(self) -> None:
        get = self.templates.get
        crds = ("apiextensions.k8s.io", "customresourcedefinitions")
        for served in (custom.CERTIFICATES, custom.DATABASES):
            template = get(custom.definition_template, served)
            self._add(crds, template, "", f"{served.resource}.{served.group}", (self._age(),))
        rbac = "rbac.authorization.k8s.io"
        for name in ("admin", "edit", "view"):
            self._add((rbac, "clusterroles"), get(access.role_template, True), "", name, (self._age(), b"", b""))
            values = (self._age(), b"sre@example.io", b"")
            self._add((rbac, "clusterrolebindings"), get(access.binding_template, True), "", name, values)
        template = get(storage.class_template)
        self._add(("storage.k8s.io", "storageclasses"), template, "", "standard", (self._age(), b"", b""))

    def _system_apps(self) -> None:
        for index, (name, workload) in enumerate(
            (("coredns", "Deployment"), ("kube-proxy", "DaemonSet"), ("node-agent", "DaemonSet"))
        ):
            base = make_app(-1 - index, ["kube-system"], self.templates.seed)
            fields = {key: getattr(base, key) for key in base.__dataclass_fields__}
            app = App(**(fields | {"name": name, "role": name, "workload": workload, "env": "prod"}))
            self.apps.append(app)
            if workload == "Deployment":
                for _ in self._deployment(app, 2):
                    pass
            else:
                self._daemonset(app)

    def _pod_apps(self, teams: list[str]) -> Iterator[None]:
        index = 0
        while True:
            app = make_app(index, teams, self.templates.seed)
            self.apps.append(app)
            if app.workload == "Deployment":
                yield from self._deployment(app, 50)
            else:
                yield from self._statefulset(app, 20)
            index += 1

    def _all_apps(self, teams: list[str]) -> Iterator[None]:
        index = 0
        while True:
            app = make_app(index, teams, self.templates.seed)
            self.apps.append(app)
            yield from self._around(app)
            if app.workload == "Deployment":
                yield from self._deployment(app, self._rng.choice((1, 2, 3, 3, 5, 8, 13)))
            else:
                yield from self._statefulset(app, 3)
            if index % 6 == 1:
                yield from self._cronjob(index, teams)
            index += 1

    def _around(self, app: App) -> Iterator[None]:
        get, add, at = self.templates.get, self._add, (app.namespace, app.name)
        add(("", "serviceaccounts"), get(config.service_account_template), *at, (self._age(), b""))
        template = get(config.configmap_template, app)
        add(("", "configmaps"), template, app.namespace, f"{app.name}-config", (self._age(), b"0"))
        template = get(config.secret_template, app)
        add(("", "secrets"), template, app.namespace, f"{app.name}-credentials", (self._age(), b""))
        values = (self._age(), self._address(), self._age(86400))
        service = add(("", "services"), get(network.service_template, app), *at, values)
        template = get(network.endpointslice_template, app)
        name = f"{app.name}-{suffix(self._rng)}"
        add(("discovery.k8s.io", "endpointslices"), template, app.namespace, name, values, service)
        yield
        rbac = "rbac.authorization.k8s.io"
        if app.tier in ("edge", "frontend"):
            add(("networking.k8s.io", "ingresses"), get(network.ingress_template, app), *at, values)
            state = b"False" if app.index % 5 == 0 else b"True"
            template = get(custom.certificate_template, app)
            add(custom.CERTIFICATES.storage, template, *at, (values[0], values[2], state))
        if app.index % 4 == 0:
            template = get(custom.database_template, app)
            state = (b"Ready", b"Ready", b"Degraded", b"Provisioning")[self._rng.randint(0, 3)]
            add(custom.DATABASES.storage, template, *at, (values[0], values[2], state))
            add((rbac, "roles"), get(access.role_template, False), *at, (values[0], b"", b""))
            subject = f"{app.labels['team']}@example.io".encode()
            add((rbac, "rolebindings"), get(access.binding_template, False), *at, (values[0], subject, b""))
        if app.index % 5 == 2 and app.workload == "Deployment":
            template = get(network.autoscaler_template, app)
            add(("autoscaling", "horizontalpodautoscalers"), template, *at, values)
        yield

    def _state(self) -> str:
        """About one pod in eight is not well."""
        draw = self._rng.random()
        for share, state in (
            (0.02, pods.CRASHING),
            (0.015, pods.IMAGE_PULL),
            (0.015, pods.UNSCHEDULABLE),
            (0.025, pods.OOM_KILLED),
            (0.015, pods.EVICTED),
            (0.01, pods.TERMINATING),
            (0.025, pods.NOT_READY),
        ):
            if draw < share:
                return state
            draw -= share
        return pods.RUNNING

    def _pod(self, app: App, name: str, owner: int, state: str, owner_name: str = "", node: str = "") -> None:
        rng = self._rng
        owner_name = owner_name or f"{app.name}-{app.hash}"
        while not name or (app.namespace, name) in self._pod_names:
            name = f"{owner_name}-{suffix(rng)}"
        self._pod_names.add((app.namespace, name))
        age = rng.randint(120, 20 * 86400)
        restarts = rng.randint(3, 400) if state in (pods.CRASHING, pods.OOM_KILLED) else rng.choice((0, 0, 0, 0, 1))
        at = rng.randrange(len(self.node_names))
        values = (
            stamp(self.born - age),
            stamp(self.born - rng.randint(10, age)),
            self._address(),
            (node or self.node_names[at]).encode(),
            b"10.0.%d.%d" % divmod(at + 10, 250),
            b"%d" % restarts,
            owner_name.encode(),
        )
        pod = self._add(("", "pods"), self.templates.pod(app, state), app.namespace, name, values, owner)
        if self.only != "pods" and (state != pods.RUNNING or rng.random() < 0.12):
            self._event(app, name, pod, state, values)

    def _event(self, app: App, pod_name: str, pod: int, state: str, values: tuple[bytes, ...]) -> None:
        reason = {
            pods.CRASHING: "BackOff",
            pods.IMAGE_PULL: "Failed",
            pods.UNSCHEDULABLE: "FailedScheduling",
            pods.NOT_READY: "Unhealthy",
            pods.EVICTED: "Evicted",
        }.get(state) or self._rng.choice(("Scheduled", "Pulled", "Started"))
        template = self.templates.get(events.event_template, reason)
        last = stamp(self.born - self._rng.randint(5, 3500))
        count = b"%d" % (self._rng.randint(2, 90) if state != pods.RUNNING else 1)
        fields = (last, last, pod_name.encode(), count, values[3])
        name = f"{pod_name}.{self._rng.getrandbits(60):016x}"
        self._add(("", "events"), template, app.namespace, name, fields, pod)

    def _deployment(self, app: App, replicas: int) -> Iterator[None]:
        states = [self._state() for _ in range(replicas)]
        ready = sum(state in (pods.RUNNING, pods.OOM_KILLED) for state in states)
        values = (self._age(), self._age(86400), b"%d" % replicas, b"%d" % ready, b"2")
        get = self.templates.get
        template = get(workloads.deployment_template, app, ready == replicas)
        deployment = self._add(("apps", "deployments"), template, app.namespace, app.name, values)
        current = f"{app.name}-{app.hash}"
        template = get(workloads.replicaset_template, app, True)
        replicaset = self._add(("apps", "replicasets"), template, app.namespace, current, values, deployment)
        if app.index % 2 == 0:
            template = get(workloads.replicaset_template, app, False)
            old = (values[0], values[1], b"0", b"0", b"2")
            name = f"{app.name}-{app.old_hash}"
            self._add(("apps", "replicasets"), template, app.namespace, name, old, deployment)
        for state in states:
            self._pod(app, "", replicaset, state)
            yield

    def _statefulset(self, app: App, replicas: int) -> Iterator[None]:
        get = self.templates.get
        number = b"%d" % replicas
        values = (self._age(), self._age(86400), number, number, b"1")
        template = get(workloads.statefulset_template, app)
        owner = self._add(("apps", "statefulsets"), template, app.namespace, app.name, values)
        for index in range(replicas):
            self._pod(app, f"{app.name}-{index}", owner, pods.RUNNING, app.name)
            if self.only != "pods":
                self._volume(app, f"data-{app.name}-{index}")
            yield

    def _volume(self, app: App, claim: str) -> None:
        get = self.templates.get
        bound = self._rng.random() > 0.1
        volume = f"pvc-{self._rng.getrandbits(64):016x}"
        values = (self._age(), volume.encode(), b"")
        template = get(storage.claim_template, app, bound)
        owner = self._add(("", "persistentvolumeclaims"), template, app.namespace, claim, values)
        if bound:
            values = (values[0], claim.encode(), b"")
            self._add(("", "persistentvolumes"), get(storage.volume_template, app), "", volume, values, owner)

    def _daemonset(self, app: App) -> None:
        number = b"%d" % len(self.node_names)
        values = (self._age(), self._age(86400), number, number, b"1")
        template = self.templates.get(workloads.daemonset_template, app)
        owner = self._add(("apps", "daemonsets"), template, app.namespace, app.name, values)
        for node in self.node_names:
            self._pod(app, f"{app.name}-{suffix(self._rng)}", owner, pods.RUNNING, app.name, node)

    def _cronjob(self, index: int, teams: list[str]) -> Iterator[None]:
        base = make_app(100_000 + index, teams, self.templates.seed)
        fields = {key: getattr(base, key) for key in base.__dataclass_fields__}
        app = App(**(fields | {"name": f"nightly-{index}", "role": "nightly", "workload": "Job"}))
        self.apps.append(app)
        get = self.templates.get
        values = (self._age(), self._age(86400), b"", b"", b"")
        template = get(workloads.cronjob_template, app)
        owner = self._add(("batch", "cronjobs"), template, app.namespace, app.name, values)
        for run in range(3):
            state = "Failed" if (run, index % 12) == (2, 1) else "Complete"
            name = f"{app.name}-{29_000_000 + run * 1440}"
            template = get(workloads.job_template, app, state)
            job = self._add(("batch", "jobs"), template, app.namespace, name, values, owner)
            if state == "Complete":
                self._pod(app, f"{name}-{suffix(self._rng)}", job, pods.SUCCEEDED, name)
            yield
