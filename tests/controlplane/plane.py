"""One control plane: starts its components, keeps them running, kills one on demand, stops them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.controlplane.api import Api, ApiError
from tests.controlplane.build import binaries
from tests.controlplane.components import (
    API_SERVER,
    COMPONENTS,
    ETCD,
    HOST,
    KWOK,
    Files,
    Ports,
    arguments,
    health_urls,
)
from tests.controlplane.health import is_healthy
from tests.controlplane.kubeconfig import Context, write_kubeconfig
from tests.controlplane.nodes import create_nodes, wait_for_nodes
from tests.controlplane.pki import Authority, KeyPair
from tests.controlplane.process import Process
from tests.controlplane.waiting import wait_until

START_TIMEOUT_SECONDS = 60.0


class ControlPlane:
    """A Kubernetes cluster without kubelets, all in `folder`; `with ControlPlane(…) as plane:` runs it.

    name: what its kubeconfig context is called.
    programs: the folder of the binaries; built when not given.
    fsync: off is faster; on where a crash of the machine's etcd is what is tested.
    extra: further arguments by component, {"kube-apiserver": ["--etcd-compaction-interval=5s"]}.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "c1",
        programs: Path | None = None,
        fsync: bool = False,
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = name
        self.folder = folder
        self._programs = programs or binaries()
        self._ports = Ports()
        self._authority = Authority(folder / "pki")
        self.ca = self._authority.certificate
        self.url = f"https://{HOST}:{self._ports.api_server}"
        self.admin = self._authority.client("admin", ("system:masters",))
        self.context = Context(name, self.url, self.ca, self.admin)
        self.kubeconfig = write_kubeconfig(folder / "kubeconfig", [self.context])
        self.api = Api(self.url, self.ca, self.admin)
        self._processes = self._make_processes(fsync, extra or {})

    def _make_processes(self, fsync: bool, extra: Mapping[str, Sequence[str]]) -> dict[str, Process]:
        unknown = set(extra) - set(COMPONENTS)
        if unknown:
            raise ValueError(f"extra arguments for {sorted(unknown)}; components are {', '.join(COMPONENTS)}")
        files = Files(
            etcd_data=self.folder / "etcd",
            ca=self.ca,
            server=self._authority.server(),
            admin=self.admin,
            service_account_key=self._authority.signing_key(),
            kubeconfig=self.kubeconfig,
        )
        logs = self.folder / "log"
        logs.mkdir(exist_ok=True)
        flags = arguments(self._ports, files, fsync=fsync)
        return {
            name: Process(name, [self._programs / name, *flags[name], *extra.get(name, ())], logs / f"{name}.log")
            for name in COMPONENTS
        }

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, component: str | None = None, *, timeout: float = START_TIMEOUT_SECONDS) -> None:
        """Starts one component, or all, and waits until they are ready.

        Raises TimeoutError with the last lines of the logs; a plane that does not start is stopped.
        """
        if component is not None:
            self.process(component).start()
            self.wait_ready(component, timeout=timeout)
            return
        try:
            for name in (ETCD, API_SERVER):  # each needs the one before
                self.start(name, timeout=timeout)
            for name in COMPONENTS:
                self.process(name).start()
            for name in COMPONENTS:
                self.wait_ready(name, timeout=timeout)
            wait_until(self._has_default_service_account, "default service account", explain=self.explain)
        except BaseException:
            self.stop()
            raise

    def kill(self, component: str) -> None:
        """kill -9; it stays dead until `start(component)`. Others that die of it are restarted."""
        self.process(component).kill()

    def stop(self) -> None:
        """Ends every process. The plane is thrown away, so none of them is asked politely."""
        for name in reversed(COMPONENTS):
            self._processes[name].close()

    def process(self, component: str) -> Process:
        """`.pid`, `.log` and `.restarts` of a component."""
        found = self._processes.get(component)
        if found is None:
            raise ValueError(f"no component {component!r}; there are {', '.join(COMPONENTS)}")
        return found

    def wait_ready(self, component: str = API_SERVER, *, timeout: float = START_TIMEOUT_SECONDS) -> None:
        """Waits until the component answers that it is ready."""
        url = health_urls(self._ports)[component]
        wait_until(
            lambda: is_healthy(url, self.ca),
            f"{self.name}: {component} is not ready",
            timeout=timeout,
            explain=lambda: self.explain(component),
        )

    def explain(self, *components: str) -> str:
        """The last log lines of the given components, or of all."""
        return "\n".join(self.process(name).last_lines() for name in components or COMPONENTS)

    def user(self, name: str, *groups: str) -> KeyPair:
        """A client certificate for a user; RBAC says what it may do: nothing, as long as no one binds it."""
        return self._authority.client(name, groups)

    def as_user(self, name: str, *groups: str) -> Api:
        """The API as that user sees it."""
        return Api(self.url, self.ca, self.user(name, *groups))

    def as_bearer(self, token: str) -> Api:
        """The API as a service account (or another token) sees it."""
        return Api(self.url, self.ca, token=token)

    def create_nodes(self, count: int, *, prefix: str = "node") -> list[str]:
        """Creates nodes that kwok plays, waits until they are Ready, returns their names."""
        names = create_nodes(self.api, count, prefix=prefix)
        wait_for_nodes(self.api, names, explain=lambda: self.explain(KWOK))
        return names

    def create_namespace(self, name: str) -> str:
        """A namespace whose default service account exists, so that pods can be created at once."""
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        wait_until(lambda: self._has_default_service_account(name), f"service account of {name}")
        return name

    def _has_default_service_account(self, namespace: str = "default") -> bool:
        try:
            self.api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True
