"""The applications that the fleet runs: the same ones in every member, so that one name is found in many clusters."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

TEAMS = [
    "shop",
    "payments",
    "checkout",
    "catalog",
    "search",
    "identity",
    "billing",
    "shipping",
    "inventory",
    "platform",
    "observability",
    "data",
    "ml",
    "mobile",
    "media",
    "pricing",
    "loyalty",
    "support",
    "fraud",
    "analytics",
]
ROLES = [
    "web",
    "api",
    "worker",
    "gateway",
    "cache",
    "frontend",
    "scheduler",
    "consumer",
    "exporter",
    "indexer",
    "router",
    "notifier",
    "importer",
    "sync",
    "auth",
    "reports",
    "queue",
    "store",
    "events",
    "proxy",
]
TIERS = {
    "web": "frontend",
    "frontend": "frontend",
    "gateway": "edge",
    "router": "edge",
    "proxy": "edge",
    "cache": "data",
    "store": "data",
    "queue": "data",
}
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SETTINGS = [
    "TIMEOUT",
    "RETRIES",
    "ENDPOINT",
    "POOL_SIZE",
    "CACHE_TTL",
    "REGION",
    "FEATURE_FLAGS",
    "BATCH_SIZE",
    "QUEUE",
    "TOPIC",
    "BUCKET",
]


def suffix(rng: random.Random, length: int = 5) -> str:
    """The end of a generated name, in the letters that Kubernetes uses."""
    return "".join(rng.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True)
class App:
    """One workload and what stands around it."""

    index: int
    namespace: str
    name: str
    role: str
    env: str
    workload: str
    """Deployment, StatefulSet, DaemonSet or Job."""
    version: str
    suffix: str
    """Five letters for its token volume."""
    hash: str
    """pod-template-hash of the current ReplicaSet."""
    old_hash: str
    sidecar: bool
    cpu: str
    cpu_limit: str
    memory: str
    salt: int

    @property
    def tier(self) -> str:
        return TIERS.get(self.role, "backend")

    @property
    def service_account(self) -> str:
        return self.name

    @property
    def image(self) -> str:
        return f"registry.example.io/{self.namespace}/{self.role}:{self.version}"

    @cached_property
    def image_id(self) -> str:
        digest = random.Random(self.salt).getrandbits(256)
        return f"registry.example.io/{self.namespace}/{self.role}@sha256:{digest:064x}"

    @cached_property
    def labels(self) -> dict[str, str]:
        """In alphabetical order, as Go writes maps."""
        return {
            "app": self.role,
            "app.kubernetes.io/instance": self.name,
            "env": self.env,
            "team": self.namespace.partition("-")[0],
            "tier": self.tier,
            "version": self.version,
        }

    @cached_property
    def pod_labels(self) -> dict[str, str]:
        extra = {"pod-template-hash": self.hash} if self.workload == "Deployment" else {}
        return dict(sorted((self.labels | extra).items()))

    @cached_property
    def _all_settings(self) -> list[tuple[str, str]]:
        rng = random.Random(self.salt)
        names = [f"{role.upper()}_{what}" for role in ROLES for what in _SETTINGS]
        rng.shuffle(names)
        values = (
            lambda: str(rng.randint(1, 60000)),
            lambda: f"http://{rng.choice(ROLES)}.{self.namespace}.svc.cluster.local:{rng.randint(1000, 9999)}",
            lambda: f"{rng.getrandbits(96):x}",
            lambda: rng.choice(("true", "false", "eu-west-1", "warn", "ap-south-1")),
        )
        return [(name, rng.choice(values)()) for name in names]

    def settings(self, count: int) -> list[tuple[str, str]]:
        """`count` environment variables, always the same ones for an app."""
        known = self._all_settings
        return [
            (f"{name}_{lap}" if lap else name, value)
            for lap in range(count // len(known) + 1)
            for name, value in known[: count - lap * len(known)]
        ]

    def settings_filling(self, size: int) -> int:
        """How many settings take `size` bytes as environment variables in JSON."""
        count = 0
        while size > 0:
            name, value = self._all_settings[count % len(self._all_settings)]
            size -= len(name) + len(value) + 23
            count += 1
        return count


def make_app(index: int, namespaces: list[str], seed: int) -> App:
    """The index-th application; each namespace gets each role once before names are numbered."""
    rng = random.Random(f"app {seed} {index}")
    lap, place = divmod(index, len(namespaces))
    namespace = namespaces[place]
    role = ROLES[(lap + place) % len(ROLES)]
    number = lap // len(ROLES)
    return App(
        index=index,
        namespace=namespace,
        name=f"{role}-{number + 1}" if number else role,
        role=role,
        env=("prod", "prod", "staging", "dev")[index % 4],
        workload="StatefulSet" if role in ("cache", "store", "queue") else "Deployment",
        version=f"v{rng.randint(1, 4)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}",
        suffix=suffix(rng),
        hash=suffix(rng, 10),
        old_hash=suffix(rng, 10),
        sidecar=rng.random() < 0.4,
        cpu=rng.choice(("50m", "100m", "250m", "500m")),
        cpu_limit=rng.choice(("1", "2", "500m")),
        memory=rng.choice(("128Mi", "256Mi", "512Mi", "1Gi")),
        salt=rng.getrandbits(48),
    )
