"""Changes at a set rate: the life of a cluster. What changes, and in which order, is a function of the seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from .apps import App, suffix
from .bodies import events, nodes, pods, workloads
from .bodies.common import stamp
from .member import Member
from .objects import Objects
from .rows import SeedRow

PODS, NODES, EVENTS, CONFIGMAPS = ("", "pods"), ("", "nodes"), ("", "events"), ("", "configmaps")
DEPLOYMENTS, REPLICASETS, LEASES = ("apps", "deployments"), ("apps", "replicasets"), ("coordination.k8s.io", "leases")
MIX = (("pod", 45), ("event", 22), ("heartbeat", 15), ("scale", 10), ("configmap", 8))
ILLS = (pods.NOT_READY, pods.NOT_READY, pods.CRASHING, pods.OOM_KILLED)
PODS_ONLY = (("pod", 1),)
KEPT_EVENTS = 300
"""New Events per member beyond which the oldest new one expires."""
TICK_SECONDS = 0.001
"""The event loop's timers are no finer: a shorter sleep would only spin."""
BEHIND_SECONDS = 1.0
"""A backlog longer than this is dropped (and counted): a generator that cannot keep up must not run in bursts."""


class Life:
    """The changes of one member; each call of `step` writes once."""

    def __init__(self, member: Member, seed: int) -> None:
        self._member = member
        self._rng = random.Random(f"churn {seed} {member.name}")
        self._apps = {app.index: app for app in member.population.apps}
        self._pending: deque[Callable[[], None]] = deque()
        self._events: deque[tuple[str, str]] = deque()
        self._unwell: deque[tuple[str, str]] = deque()
        mix = PODS_ONLY if member.population.only == "pods" else MIX
        self._kinds = [kind for kind, _ in mix]
        self._weights = [weight for _, weight in mix]
        self._deployed = [app for app in member.population.apps if app.workload == "Deployment"]

    def step(self) -> None:
        if self._pending:
            self._pending.popleft()()
            return
        kind = self._rng.choices(self._kinds, self._weights)[0]
        getattr(self, f"_{kind}")()

    # -- choosing --------------------------------------------------------------------------------------------------

    def _any(self, objects: Objects) -> SeedRow | None:
        """A random object that a template writes; None when chance finds none in a few tries."""
        for _ in range(8):
            key = objects.random_key(self._rng)
            held = objects.get(key) if key is not None else None
            if held is not None and isinstance(held[0], SeedRow):
                return held[0]
        return None

    def _now(self) -> bytes:
        return stamp(time.time())

    # -- one change each -------------------------------------------------------------------------------------------

    def _pod(self) -> None:
        row = self._next_pod()
        if row is None:
            self._pod_created(self._rng.choice(self._deployed))
            return
        index, state = row.template.key[1:]
        app = self._apps[index]
        if state == pods.TERMINATING:
            self._member.remove(PODS, row.namespace, row.name)
            return
        if state in (pods.SUCCEEDED, pods.EVICTED):
            self._put_pod(row, app, pods.TERMINATING, 0)
            return
        if state != pods.RUNNING:
            self._put_pod(row, app, pods.RUNNING, 0)
            return
        after = self._rng.choice(ILLS)
        self._put_pod(row, app, after, after in (pods.CRASHING, pods.OOM_KILLED))
        self._unwell.append((row.namespace, row.name))

    def _next_pod(self) -> SeedRow | None:
        """A random pod, or the one that is unwell the longest: most pods of a cluster are well."""
        objects = self._member.objects(PODS)
        while len(self._unwell) > max(5, objects.count // 30):
            held = self._member.get(PODS, *self._unwell.popleft())
            if held is not None and isinstance(held[0], SeedRow):
                return held[0]
        return self._any(objects)

    def _put_pod(self, row: SeedRow, app: App, state: str, restarts: int) -> None:
        created, _, ip, node, host, count, owner_name = row.values
        values = (created, self._now(), ip, node, host, b"%d" % (int(count) + restarts), owner_name)
        template = self._member.population.templates.pod(app, state)
        self._member.write(PODS, row.changed(template, values))

    def _event(self) -> None:
        if len(self._events) >= KEPT_EVENTS:
            self._member.remove(EVENTS, *self._events.popleft())
            return
        pod = self._any(self._member.objects(PODS))
        if pod is None:
            return
        reason = self._rng.choice(list(events.REASONS))
        template = self._member.population.templates.get(events.event_template, reason)
        name = f"{pod.name}.{self._rng.getrandbits(60):016x}"
        now = self._now()
        values = (now, now, pod.name.encode(), b"1", pod.values[3])
        row = SeedRow(template, self._member.new_ordinal(), pod.namespace, name, values, pod.ordinal)
        self._member.write(EVENTS, row)
        self._events.append((pod.namespace, name))

    def _heartbeat(self) -> None:
        name = self._rng.choice(self._member.population.node_names)
        lease = self._member.get(LEASES, "kube-node-lease", name)
        if lease is not None and isinstance(lease[0], SeedRow) and self._rng.random() < 0.7:
            values = (*lease[0].values[:2], self._now()[:-1] + b".000000Z")
            self._member.write(LEASES, lease[0].changed(values=values))
            return
        node = self._member.get(NODES, "", name)
        if node is not None and isinstance(node[0], SeedRow) and node[0].template.key[1] != nodes.NOT_READY:
            values = (*node[0].values[:3], self._now(), *node[0].values[4:])
            self._member.write(NODES, node[0].changed(values=values))
            return
        self._pod()

    def _configmap(self) -> None:
        row = self._any(self._member.objects(CONFIGMAPS))
        if row is None or "edited" not in row.template.values:
            return
        self._member.write(CONFIGMAPS, row.changed(values=(row.values[0], b"%d" % self._rng.getrandbits(40))))

    # -- scaling: several writes, one a step -----------------------------------------------------------------------

    def _scale(self) -> None:
        app = self._rng.choice(self._deployed)
        held = self._member.get(DEPLOYMENTS, app.namespace, app.name)
        if held is None or not isinstance(held[0], SeedRow):
            return
        replicas = int(held[0].values[2])
        up = replicas < 2 or (replicas < 30 and self._rng.random() < 0.5)
        wanted = replicas + (1 if up else -1)
        self._put_scaled(DEPLOYMENTS, app, app.name, wanted, complete=not up)
        self._pending.append(
            lambda: self._put_scaled(REPLICASETS, app, f"{app.name}-{app.hash}", wanted, complete=True)
        )
        if up:
            self._pending.append(lambda: self._pod_created(app))
            self._pending.append(lambda: self._put_scaled(DEPLOYMENTS, app, app.name, wanted, complete=True))
        else:
            self._pending.append(lambda: self._pod_deleted(app))

    def _put_scaled(self, storage: tuple[str, str], app: App, name: str, replicas: int, complete: bool) -> None:
        held = self._member.get(storage, app.namespace, name)
        if held is None or not isinstance(held[0], SeedRow):
            self._pod()
            return
        row = held[0]
        template = row.template
        if storage == DEPLOYMENTS:
            template = self._member.population.templates.get(workloads.deployment_template, app, complete)
        ready = replicas if complete else max(replicas - 1, 0)
        generation = int(row.values[4]) + (row.values[2] != b"%d" % replicas)
        values = (row.values[0], self._now(), b"%d" % replicas, b"%d" % ready, b"%d" % generation)
        self._member.write(storage, row.changed(template, values))

    def _pod_created(self, app: App) -> None:
        owner_name = f"{app.name}-{app.hash}"
        owner = self._member.get(REPLICASETS, app.namespace, owner_name)
        now, rng = self._now(), self._rng
        ip = b"10.%d.%d.%d" % (rng.randint(0, 250), rng.randint(0, 250), rng.randint(2, 250))
        at = rng.randrange(len(self._member.population.node_names))
        node = self._member.population.node_names[at].encode()
        host = b"10.0.%d.%d" % divmod(at + 10, 250)
        values = (now, now, ip, node, host, b"0", owner_name.encode())
        template = self._member.population.templates.pod(app, pods.RUNNING)
        ordinal = owner[0].ordinal if owner is not None and isinstance(owner[0], SeedRow) else 0
        name = f"{owner_name}-{suffix(rng)}"
        self._member.write(PODS, SeedRow(template, self._member.new_ordinal(), app.namespace, name, values, ordinal))

    def _pod_deleted(self, app: App) -> None:
        """Deletes one of the app's pods, whichever comes first after a random point."""
        prefix = f"{app.name}-{app.hash}-"
        objects = self._member.objects(PODS)
        start = f"{app.namespace}/{prefix}".encode()
        for key, (row, _) in objects.walk(app.namespace, start):
            if not key.startswith(start):
                break
            self._member.remove(PODS, row.namespace, row.name)
            return
        self._pod()


class Churn:
    """Spreads `rate` changes a second per member evenly over time, over all members in turn."""

    def __init__(self, members: list[Member], rate: float, seed: int) -> None:
        self._lives = [Life(member, seed) for member in members]
        self._by_name = {member.name: life for member, life in zip(members, self._lives, strict=True)}
        self._rate = rate
        self._changed = asyncio.Event()
        self.dropped = 0
        """Changes that were left out because the process could not keep up."""

    def step(self, member: str) -> None:
        """One change of one member, now."""
        self._by_name[member].step()

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not 0 <= rate <= 100_000:
            raise ValueError(f"rate {rate}: must be between 0 and 100000 changes a second per member")
        self._rate = rate
        self._changed.set()

    async def run(self) -> None:
        turn = 0
        due = time.monotonic()
        while True:
            total = self._rate * len(self._lives)
            if not total:
                self._changed.clear()
                await self._changed.wait()
                due = time.monotonic()
                continue
            interval = 1 / total
            now = time.monotonic()
            if now - due > BEHIND_SECONDS:
                self.dropped += int((now - due) * total)
                due = now
            for _ in range(100):
                if due > now:
                    break
                self._lives[turn % len(self._lives)].step()
                turn += 1
                due += interval
            await asyncio.sleep(max(due - time.monotonic(), TICK_SECONDS))
