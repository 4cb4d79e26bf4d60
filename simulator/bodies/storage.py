"""Volumes, their claims and classes."""

from __future__ import annotations

from ..apps import App
from ..template import Template
from .common import document

VALUES = ("created", "volume", "claimuid")


def claim_template(app: App, bound: bool) -> Template:
    """The claim of one pod of a StatefulSet; one that is not bound waits for a volume."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "20Gi"}},
        **({"volumeName": "@volume@"} if bound else {}),
        "storageClassName": "standard",
        "volumeMode": "Filesystem",
    }
    status = {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "20Gi"},
    }
    parts = {"spec": spec, "status": status if bound else {"phase": "Pending"}}
    body = document(
        "v1",
        parts,
        labels=app.labels,
        finalizers=["kubernetes.io/pvc-protection"],
        manager="kube-controller-manager",
    )
    return Template(("claim", app.index, bound), body, VALUES)


def volume_template(app: App) -> Template:
    spec = {
        "capacity": {"storage": "20Gi"},
        "csi": {"driver": "disk.csi.example.io", "volumeHandle": "vol-@name@", "fsType": "ext4"},
        "accessModes": ["ReadWriteOnce"],
        "claimRef": {
            "kind": "PersistentVolumeClaim",
            "namespace": app.namespace,
            "name": "@volume@",
            "uid": "@owner@",
            "apiVersion": "v1",
        },
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": "standard",
        "volumeMode": "Filesystem",
    }
    body = document(
        "v1",
        {"spec": spec, "status": {"phase": "Bound", "lastPhaseTransitionTime": "@created@"}},
        namespaced=False,
        annotations={"pv.kubernetes.io/provisioned-by": "disk.csi.example.io"},
        finalizers=["kubernetes.io/pv-protection"],
        manager="csi-provisioner",
    )
    return Template(("volume", app.index), body, VALUES)


def class_template() -> Template:
    parts = {
        "provisioner": "disk.csi.example.io",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    body = document(
        "storage.k8s.io/v1",
        parts,
        namespaced=False,
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
    )
    return Template(("storageclass",), body, VALUES)
