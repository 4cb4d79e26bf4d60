"""Pods in the states that people look for: running, crashing, waiting for an image or a node, evicted, leaving."""

from __future__ import annotations

from typing import Any

from ..apps import App
from ..template import Template, go_json
from .common import Body, document, owner

VALUES = ("created", "started", "ip", "node", "hostip", "restarts", "ownername")

RUNNING, NOT_READY, CRASHING, OOM_KILLED = "Running", "NotReady", "CrashLoopBackOff", "OOMKilled"
IMAGE_PULL, UNSCHEDULABLE, EVICTED = "ImagePullBackOff", "Unschedulable", "Evicted"
TERMINATING, SUCCEEDED = "Terminating", "Succeeded"
STATES = (
    RUNNING,
    NOT_READY,
    CRASHING,
    OOM_KILLED,
    IMAGE_PULL,
    UNSCHEDULABLE,
    EVICTED,
    TERMINATING,
    SUCCEEDED,
)

_PHASES = {IMAGE_PULL: "Pending", UNSCHEDULABLE: "Pending", EVICTED: "Failed", SUCCEEDED: "Succeeded"}


def _condition(kind: str, good: bool, reason: str = "", message: str = "", at: str = "@started@") -> Body:
    entry: Body = {"type": kind, "status": "True" if good else "False", "lastProbeTime": None}
    entry["lastTransitionTime"] = at
    if reason:
        entry |= {"reason": reason}
    if message:
        entry |= {"message": message}
    return entry


def _terminated(code: int, reason: str) -> Body:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": "@created@",
            "finishedAt": "@started@",
            "containerID": "containerd://@hex@",
        }
    }


def _container_state(app: App, state: str) -> tuple[Body, Body]:
    """(state, lastState) of the first container."""
    running: Body = {"running": {"startedAt": "@started@"}}
    match state:
        case "CrashLoopBackOff":
            message = f"back-off 5m0s restarting failed container={app.name} pod=@name@_@namespace@(@uid@)"
            return {"waiting": {"reason": state, "message": message}}, _terminated(1, "Error")
        case "OOMKilled":
            return running, _terminated(137, "OOMKilled")
        case "ImagePullBackOff":
            message = f'Back-off pulling image "{app.image}": ErrImagePull: failed to resolve reference: not found'
            return {"waiting": {"reason": state, "message": message}}, {}
        case "Succeeded":
            return _terminated(0, "Completed"), {}
    return running, {}


def _status(app: App, state: str) -> Body:
    phase = _PHASES.get(state, "Running")
    if state == EVICTED:
        message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 83412Ki."
        return {
            "phase": phase,
            "message": message,
            "reason": "Evicted",
            "hostIP": "@hostip@",
            "startTime": "@created@",
        }
    if state == UNSCHEDULABLE:
        message = (
            "0/12 nodes are available: 12 Insufficient cpu. no new claims to deallocate, "
            "preemption: 0/12 nodes are available: 12 No preemption victims found for incoming pod."
        )
        conditions = [_condition("PodScheduled", False, "Unschedulable", message)]
        return {"phase": phase, "conditions": conditions, "qosClass": "Burstable"}
    ready = state in (RUNNING, OOM_KILLED, TERMINATING)
    reason, message = ("PodCompleted", "") if state == SUCCEEDED else ("ContainersNotReady", "")
    if not ready and not message and state != SUCCEEDED:
        message = f"containers with unready status: [{app.name}]"
    bad = ("", "") if ready else (reason, message)
    now, last = _container_state(app, state)
    started = state not in (CRASHING, IMAGE_PULL, SUCCEEDED)
    first: Body = {
        "name": app.name,
        "state": now,
        "lastState": last,
        "ready": ready,
        "restartCount": "@!restarts@",
        "image": app.image,
        "imageID": "" if state == IMAGE_PULL else app.image_id,
        **({} if state == IMAGE_PULL else {"containerID": "containerd://@hex@"}),
        "started": started,
        "volumeMounts": [_token_mount(app, read_only=True)],
    }
    statuses = [first]
    if app.sidecar:
        statuses.append(
            {
                "name": "proxy",
                "state": {"running": {"startedAt": "@created@"}},
                "lastState": {},
                "ready": state != SUCCEEDED,
                "restartCount": 0,
                "image": "registry.example.io/mesh/proxy:1.29.4",
                "imageID": "registry.example.io/mesh/proxy@sha256:" + "5d1f0c9be7a34268" * 4,
                "containerID": "containerd://@hex@",
                "started": True,
            }
        )
    status: Body = {
        "observedGeneration": 1,
        "phase": phase,
        "conditions": [
            _condition("PodReadyToStartContainers", state != SUCCEEDED, at="@created@"),
            _condition("Initialized", True, at="@created@"),
            _condition("Ready", ready, *bad),
            _condition("ContainersReady", ready, *bad),
            _condition("PodScheduled", True, at="@created@"),
        ],
        "hostIP": "@hostip@",
        "hostIPs": [{"ip": "@hostip@"}],
        "podIP": "@ip@",
        "podIPs": [{"ip": "@ip@"}],
        "startTime": "@created@",
        "containerStatuses": statuses,
        "qosClass": "Burstable",
    }
    return status


def _token_mount(app: App, read_only: bool = False) -> Body:
    mount: Body = {
        "name": f"kube-api-access-{app.suffix}",
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    return mount | ({"recursiveReadOnly": "Disabled"} if read_only else {})


def _probe(path: str, port: str, delay: int) -> Body:
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "initialDelaySeconds": delay,
        "timeoutSeconds": 2,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def container(app: App, filler: int = 0) -> Body:
    """The app's own container, with `filler` more environment variables."""
    env: list[Body] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {"name": "LOG_LEVEL", "value": "info"},
        {"name": "DATABASE_HOST", "value": f"{app.name}-db.{app.namespace}.svc.cluster.local"},
    ]
    env += [{"name": name, "value": value} for name, value in app.settings(filler)]
    return {
        "name": app.name,
        "image": app.image,
        "args": ["serve", "--port=8080", f"--config=/etc/{app.name}/config.yaml"],
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
        ],
        "envFrom": [{"configMapRef": {"name": f"{app.name}-config"}}],
        "env": env,
        "resources": {
            "limits": {"cpu": app.cpu_limit, "memory": app.memory},
            "requests": {"cpu": app.cpu, "memory": app.memory},
        },
        "volumeMounts": [{"name": "config", "readOnly": True, "mountPath": f"/etc/{app.name}"}],
        "livenessProbe": _probe("/livez", "http", 15),
        "readinessProbe": _probe("/readyz", "http", 5),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
        },
    }


def pod_spec(app: App, filler: int = 0) -> Body:
    """The part of the pod's spec that workloads carry in their template as well."""
    containers = [container(app, filler)]
    if app.sidecar:
        containers.append(
            {
                "name": "proxy",
                "image": "registry.example.io/mesh/proxy:1.29.4",
                "args": ["proxy", "sidecar", "--domain", f"{app.namespace}.svc.cluster.local"],
                "ports": [{"name": "http-proxy", "containerPort": 15090, "protocol": "TCP"}],
                "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "10m", "memory": "64Mi"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        )
    return {
        "volumes": [{"name": "config", "configMap": {"name": f"{app.name}-config", "defaultMode": 420}}],
        "containers": containers,
        "restartPolicy": "Never" if app.workload == "Job" else "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": app.service_account,
        "serviceAccount": app.service_account,
        "securityContext": {"runAsUser": 10001, "fsGroup": 10001},
        "schedulerName": "default-scheduler",
    }


def _spec(app: App, state: str, filler: int) -> Body:
    shared = pod_spec(app, filler)
    for entry in shared["containers"]:
        entry.setdefault("volumeMounts", [])
        entry["volumeMounts"] = [*entry["volumeMounts"], _token_mount(app)]
    token: Body = {
        "name": f"kube-api-access-{app.suffix}",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ],
            "defaultMode": 420,
        },
    }
    spec: Body = {}
    for key, value in shared.items():
        spec[key] = [*value, token] if key == "volumes" else value
        if key == "serviceAccount" and state != UNSCHEDULABLE:
            spec["nodeName"] = "@node@"
    spec["tolerations"] = [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for taint in ("not-ready", "unreachable")
    ]
    return spec | {
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }


_OWNER_API = {
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
}


def _body(app: App, state: str, filler: int, with_managed: bool) -> Body:
    kind = "ReplicaSet" if app.workload == "Deployment" else app.workload
    extra: dict[str, Any] = {"deletion": "@started@"} if state == TERMINATING else {}
    return document(
        "v1",
        {"spec": _spec(app, state, filler), "status": _status(app, state)},
        generate_name="@ownername@-",
        generation=1,
        labels=app.pod_labels,
        annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
        owners=[owner(_OWNER_API[kind], kind, "@ownername@")],
        manager="kube-controller-manager",
        status_manager="kubelet",
        status_time="@started@",
        with_managed=with_managed,
        **extra,
    )


def pod_template(app: App, state: str, pod_bytes: int) -> Template:
    """The template of an app's pods in one state; without managedFields a body is about `pod_bytes` long."""
    bare = len(go_json(_body(app, RUNNING, 0, with_managed=False))) + 100
    filler = app.settings_filling(pod_bytes - bare)
    fields = {
        "status.phase": _PHASES.get(state, "Running"),
        "spec.nodeName": "" if state == UNSCHEDULABLE else "@node",
        "status.podIP": "" if state in (UNSCHEDULABLE, EVICTED) else "@ip",
        "spec.restartPolicy": "Never" if app.workload == "Job" else "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": app.service_account,
    }
    body = _body(app, state, filler, with_managed=True)
    return Template(("pod", app.index, state), body, VALUES, fields)
