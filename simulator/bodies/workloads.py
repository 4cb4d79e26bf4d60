"""Deployments and what they own, StatefulSets, DaemonSets, Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from ..apps import App
from ..template import Template
from .common import Body, document, owner
from .pods import pod_spec

VALUES = ("created", "changed", "replicas", "ready", "generation")
"""`replicas` are wanted, `ready` are there; `changed` is when the last condition moved."""


def _pod_template(app: App) -> Body:
    return {"metadata": {"labels": app.pod_labels}, "spec": pod_spec(app)}


def _selector(app: App) -> Body:
    keys = ("app", "app.kubernetes.io/instance") + (("pod-template-hash",) if app.workload == "Deployment" else ())
    return {"matchLabels": {key: app.pod_labels[key] for key in keys}}


def _condition(kind: str, good: bool, reason: str, message: str) -> Body:
    return {
        "type": kind,
        "status": "True" if good else "False",
        "lastUpdateTime": "@changed@",
        "lastTransitionTime": "@changed@",
        "reason": reason,
        "message": message,
    }


def deployment_template(app: App, complete: bool) -> Template:
    """A Deployment; `complete` when all its replicas are available."""
    selector = {"matchLabels": {key: app.labels[key] for key in ("app", "app.kubernetes.io/instance")}}
    template = _pod_template(app)
    template["metadata"]["labels"] = app.labels
    reason, message = ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    if not complete:
        reason, message = ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status: Body = {
        "observedGeneration": "@!generation@",
        "replicas": "@!replicas@",
        "updatedReplicas": "@!replicas@",
        "readyReplicas": "@!ready@",
        "availableReplicas": "@!ready@",
        **({} if complete else {"unavailableReplicas": 1}),
        "conditions": [
            _condition("Available", complete, reason, message),
            _condition(
                "Progressing",
                True,
                "NewReplicaSetAvailable",
                f'ReplicaSet "{app.name}-{app.hash}" has successfully progressed.',
            ),
        ],
    }
    spec = {
        "replicas": "@!replicas@",
        "selector": selector,
        "template": template,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    body = document(
        "apps/v1",
        {"spec": spec, "status": status},
        generation="@!generation@",
        labels=app.labels,
        annotations={"deployment.kubernetes.io/revision": "2"},
        status_time="@changed@",
    )
    return Template(("deployment", app.index, complete), body, VALUES)


def replicaset_template(app: App, current: bool) -> Template:
    """The current ReplicaSet of a Deployment, or the one before, scaled to nothing."""
    labels = dict(app.pod_labels, **{"pod-template-hash": app.hash if current else app.old_hash})
    status: Body = {"replicas": "@!replicas@"}
    if current:
        status |= {
            "fullyLabeledReplicas": "@!replicas@",
            "readyReplicas": "@!ready@",
            "availableReplicas": "@!ready@",
        }
    spec = {
        "replicas": "@!replicas@",
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": pod_spec(app),
        },
    }
    body = document(
        "apps/v1",
        {"spec": spec, "status": status | {"observedGeneration": "@!generation@"}},
        generation="@!generation@",
        labels=labels,
        annotations={
            "deployment.kubernetes.io/desired-replicas": "@replicas@",
            "deployment.kubernetes.io/max-replicas": "@replicas@",
            "deployment.kubernetes.io/revision": "2" if current else "1",
        },
        owners=[owner("apps/v1", "Deployment", app.name)],
        manager="kube-controller-manager",
        status_time="@changed@",
    )
    return Template(("replicaset", app.index, current), body, VALUES)


def statefulset_template(app: App) -> Template:
    spec = {
        "replicas": "@!replicas@",
        "selector": _selector(app),
        "template": _pod_template(app),
        "volumeClaimTemplates": [
            {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "20Gi"}},
                    "storageClassName": "standard",
                    "volumeMode": "Filesystem",
                },
                "status": {"phase": "Pending"},
            }
        ],
        "serviceName": app.name,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    status = {
        "observedGeneration": "@!generation@",
        "replicas": "@!replicas@",
        "readyReplicas": "@!ready@",
        "currentReplicas": "@!replicas@",
        "updatedReplicas": "@!replicas@",
        "currentRevision": f"{app.name}-{app.hash}",
        "updateRevision": f"{app.name}-{app.hash}",
        "collisionCount": 0,
        "availableReplicas": "@!ready@",
    }
    body = document(
        "apps/v1",
        {"spec": spec, "status": status},
        generation="@!generation@",
        labels=app.labels,
        status_time="@changed@",
    )
    return Template(("statefulset", app.index), body, VALUES)


def daemonset_template(app: App) -> Template:
    spec = {
        "selector": _selector(app),
        "template": _pod_template(app),
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        },
        "revisionHistoryLimit": 10,
    }
    status = {
        "currentNumberScheduled": "@!replicas@",
        "numberMisscheduled": 0,
        "desiredNumberScheduled": "@!replicas@",
        "numberReady": "@!ready@",
        "observedGeneration": "@!generation@",
        "updatedNumberScheduled": "@!replicas@",
        "numberAvailable": "@!ready@",
    }
    body = document(
        "apps/v1",
        {"spec": spec, "status": status},
        generation="@!generation@",
        labels=app.labels,
        annotations={"deprecated.daemonset.template.generation": "1"},
        status_time="@changed@",
    )
    return Template(("daemonset", app.index), body, VALUES)


def job_template(app: App, state: str) -> Template:
    """A Job: `Complete`, `Failed` or `Running`."""
    labels: dict[str, Any] = dict(app.labels, **{"batch.kubernetes.io/job-name": "@name@", "job-name": "@name@"})
    spec = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "@uid@"}},
        "template": {
            "metadata": {"labels": labels},
            "spec": pod_spec(app),
        },
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    moment = {"lastProbeTime": "@changed@", "lastTransitionTime": "@changed@"}
    status: Body = {"startTime": "@created@", "active": 1, "terminating": 0, "ready": 1}
    if state == "Complete":
        reason = {
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
        }
        done = [{"type": kind, "status": "True", **moment, **reason} for kind in ("SuccessCriteriaMet", "Complete")]
        status = {
            "conditions": done,
            "startTime": "@created@",
            "completionTime": "@changed@",
            "succeeded": 1,
        }
    elif state == "Failed":
        reason = {
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
        }
        done = [{"type": kind, "status": "True", **moment, **reason} for kind in ("FailureTarget", "Failed")]
        status = {"conditions": done, "startTime": "@created@", "failed": 7}
    status |= {"uncountedTerminatedPods": {}}
    body = document(
        "batch/v1",
        {"spec": spec, "status": status},
        generation=1,
        labels=app.labels,
        owners=[owner("batch/v1", "CronJob", app.name)],
        manager="kube-controller-manager",
        status_time="@changed@",
    )
    done_count = "1" if state == "Complete" else "0"
    return Template(("job", app.index, state), body, VALUES, {"status.successful": done_count})


def cronjob_template(app: App) -> Template:
    spec = {
        "schedule": f"{app.salt % 60} {app.salt % 24} * * *",
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "suspend": False,
        "jobTemplate": {
            "metadata": {},
            "spec": {"template": _pod_template(app)},
        },
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    status = {"lastScheduleTime": "@changed@", "lastSuccessfulTime": "@changed@"}
    body = document("batch/v1", {"spec": spec, "status": status}, generation=1, labels=app.labels)
    return Template(("cronjob", app.index), body, VALUES)
