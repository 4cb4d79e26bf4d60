"""The command line of each component."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.pki import KeyPair
from tests.controlplane.ports import free_port

HOST = "127.0.0.1"
STAGES = Path(__file__).parent / "stages"

# In the order in which they start; the reverse is the order in which they stop.
ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
)
COMPONENTS = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)


class Ports:
    """The ports of one plane; kept over restarts, since kubeconfigs name them."""

    def __init__(self) -> None:
        self.etcd = free_port()
        self.etcd_peer = free_port()
        self.api_server = free_port()
        self.controller_manager = free_port()
        self.scheduler = free_port()
        self.kwok = free_port()


@dataclass(frozen=True)
class Files:
    """What the components read and write."""

    etcd_data: Path
    ca: Path
    server: KeyPair
    admin: KeyPair
    service_account_key: Path
    kubeconfig: Path


def arguments(ports: Ports, files: Files, *, fsync: bool) -> dict[str, list[str]]:
    """The arguments by component."""
    return {
        ETCD: _etcd(ports, files, fsync),
        API_SERVER: _api_server(ports, files),
        CONTROLLER_MANAGER: _controller_manager(ports, files),
        SCHEDULER: _scheduler(ports, files),
        KWOK: _kwok(ports, files),
    }


def health_urls(ports: Ports) -> dict[str, str]:
    """Where each component says whether it is ready; all of them answer anonymous callers."""
    return {
        ETCD: f"http://{HOST}:{ports.etcd}/health",
        API_SERVER: f"https://{HOST}:{ports.api_server}/readyz",
        CONTROLLER_MANAGER: f"https://{HOST}:{ports.controller_manager}/healthz",
        SCHEDULER: f"https://{HOST}:{ports.scheduler}/healthz",
        KWOK: f"https://{HOST}:{ports.kwok}/healthz",
    }


def _etcd(ports: Ports, files: Files, fsync: bool) -> list[str]:
    client = f"http://{HOST}:{ports.etcd}"
    peer = f"http://{HOST}:{ports.etcd_peer}"
    return [
        f"--data-dir={files.etcd_data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        *([] if fsync else ["--unsafe-no-fsync"]),
    ]


def _api_server(ports: Ports, files: Files) -> list[str]:
    return [
        f"--etcd-servers=http://{HOST}:{ports.etcd}",
        f"--bind-address={HOST}",
        f"--secure-port={ports.api_server}",
        f"--advertise-address={HOST}",
        # The default reconciler refuses a loopback address and exits.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={files.server.certificate}",
        f"--tls-private-key-file={files.server.key}",
        f"--client-ca-file={files.ca}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={files.service_account_key}",
        f"--service-account-signing-key-file={files.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/16",
        f"--kubelet-client-certificate={files.admin.certificate}",
        f"--kubelet-client-key={files.admin.key}",
        "--allow-privileged=true",
    ]


def _controller_manager(ports: Ports, files: Files) -> list[str]:
    return [
        *_controller(files, ports.controller_manager),
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={files.service_account_key}",
        f"--root-ca-file={files.ca}",
    ]


def _scheduler(ports: Ports, files: Files) -> list[str]:
    return _controller(files, ports.scheduler)


def _controller(files: Files, port: int) -> list[str]:
    kubeconfigs = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{flag}={files.kubeconfig}" for flag in kubeconfigs),
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={files.server.certificate}",
        f"--tls-private-key-file={files.server.key}",
        "--leader-elect=false",
        # The default of 20 requests a second makes 2,000 pods a matter of minutes.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]


def _kwok(ports: Ports, files: Files) -> list[str]:
    return [
        f"--kubeconfig={files.kubeconfig}",
        "--manage-all-nodes=true",
        f"--node-ip={HOST}",
        f"--node-port={ports.kwok}",
        f"--server-address={HOST}:{ports.kwok}",
        "--node-lease-duration-seconds=40",
        # Its default lies inside the range of service addresses.
        "--cidr=10.244.0.1/16",
        f"--tls-cert-file={files.server.certificate}",
        f"--tls-private-key-file={files.server.key}",
        # kwok has no stages of its own and exits without any.
        *(f"--config={file}" for file in sorted(STAGES.glob("*.yaml"))),
    ]
