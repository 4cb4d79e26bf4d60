"""The objects of bookmarks: a version, and the empty fields that a server's typed encoder writes for a kind."""

from __future__ import annotations

from .lists import type_meta
from .types import ServedType

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_POD = b'{"metadata":{},"spec":{"containers":null}}'
_BOTH = b',"spec":{},"status":{}'
_SPEC = b',"spec":{}'
_ROLE_REF = b',"roleRef":{"apiGroup":"","kind":"","name":""}'
_NAMES = b'{"plural":"","kind":""}'
_NODE_INFO = ",".join(
    f'"{key}":""'
    for key in (
        *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"),
        *("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"),
    )
).encode()

_EMPTY: dict[tuple[str, str], bytes] = {
    ("v1", "Pod"): b',"spec":{"containers":null},"status":{}',
    ("v1", "Namespace"): _BOTH,
    ("v1", "Service"): b',"spec":{},"status":{"loadBalancer":{}}',
    ("v1", "Node"): b',"spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{%b}}'
    % _NODE_INFO,
    ("v1", "Event"): b',"involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,"eventTime":null,'
    b'"reportingComponent":"","reportingInstance":""',
    ("v1", "PersistentVolume"): _BOTH,
    ("v1", "PersistentVolumeClaim"): b',"spec":{"resources":{}},"status":{}',
    ("v1", "ResourceQuota"): _BOTH,
    ("v1", "LimitRange"): b',"spec":{"limits":null}',
    ("v1", "PodTemplate"): b',"template":%b' % _POD,
    ("v1", "ReplicationController"): b',"spec":{},"status":{"replicas":0}',
    ("apps/v1", "Deployment"): b',"spec":{"replicas":0,"selector":null,"template":%b,"strategy":{}},"status":{}' % _POD,
    ("apps/v1", "StatefulSet"): b',"spec":{"replicas":0,"selector":null,"template":%b,"serviceName":"",'
    b'"updateStrategy":{}},"status":{"replicas":0,"availableReplicas":0}' % _POD,
    ("apps/v1", "DaemonSet"): b',"spec":{"selector":null,"template":%b,"updateStrategy":{}},"status":'
    b'{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}' % _POD,
    ("apps/v1", "ReplicaSet"): b',"spec":{"replicas":0,"selector":null,"template":%b},"status":{"replicas":0}' % _POD,
    ("apps/v1", "ControllerRevision"): b',"data":null,"revision":0',
    ("batch/v1", "Job"): b',"spec":{"template":%b},"status":{}' % _POD,
    ("batch/v1", "CronJob"): b',"spec":{"schedule":"","jobTemplate":{"metadata":{},"spec":{"template":%b}}},"status":{}'
    % _POD,
    ("networking.k8s.io/v1", "Ingress"): b',"spec":{},"status":{"loadBalancer":{}}',
    ("networking.k8s.io/v1", "NetworkPolicy"): b',"spec":{"podSelector":{}}',
    ("networking.k8s.io/v1", "IPAddress"): _SPEC,
    ("networking.k8s.io/v1", "ServiceCIDR"): _BOTH,
    ("discovery.k8s.io/v1", "EndpointSlice"): b',"addressType":"","endpoints":null,"ports":null',
    ("storage.k8s.io/v1", "StorageClass"): b',"provisioner":""',
    ("storage.k8s.io/v1", "CSINode"): b',"spec":{"drivers":null},"status":{}',
    ("storage.k8s.io/v1", "CSIDriver"): _SPEC,
    ("storage.k8s.io/v1", "VolumeAttachment"): b',"spec":{"attacher":"","source":{},"nodeName":""},'
    b'"status":{"attached":false}',
    ("rbac.authorization.k8s.io/v1", "Role"): b',"rules":null',
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): b',"rules":null',
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _ROLE_REF,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _ROLE_REF,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): b',"spec":{"scaleTargetRef":{"kind":"","name":""},"maxReplicas":0},'
    b'"status":{"desiredReplicas":0,"currentMetrics":null}',
    ("autoscaling/v1", "HorizontalPodAutoscaler"): b',"spec":{"scaleTargetRef":{"kind":"","name":""},"maxReplicas":0},'
    b'"status":{"currentReplicas":0,"desiredReplicas":0}',
    ("coordination.k8s.io/v1", "Lease"): _SPEC,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): b',"spec":{"group":"","names":%b,"scope":"",'
    b'"versions":null},"status":{"conditions":null,"acceptedNames":%b,"storedVersions":null}' % (_NAMES, _NAMES),
    ("policy/v1", "PodDisruptionBudget"): b',"spec":{},"status":{"disruptionsAllowed":0,"currentHealthy":0,'
    b'"desiredHealthy":0,"expectedPods":0}',
    ("events.k8s.io/v1", "Event"): b',"eventTime":null,"regarding":{},"deprecatedSource":{},'
    b'"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null',
    ("apiregistration.k8s.io/v1", "APIService"): b',"spec":{"groupPriorityMinimum":0,"versionPriority":0},"status":{}',
    ("scheduling.k8s.io/v1", "PriorityClass"): b',"value":0',
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"): b',"spec":{"priorityLevelConfiguration":{"name":""},'
    b'"matchingPrecedence":0},"status":{}',
    ("certificates.k8s.io/v1", "CertificateSigningRequest"): b',"spec":{"request":null,"signerName":""},"status":{}',
    ("certificates.k8s.io/v1", "ClusterTrustBundle"): b',"spec":{"trustBundle":""}',
    ("certificates.k8s.io/v1", "PodCertificateRequest"): b',"spec":{"signerName":"","podName":"","podUID":"",'
    b'"serviceAccountName":"","serviceAccountUID":"","nodeName":"","nodeUID":"","stubPKCS10Request":null},"status":{}',
    ("networking.k8s.io/v1", "IngressClass"): _SPEC,
    ("storage.k8s.io/v1", "CSIStorageCapacity"): b',"storageClassName":""',
    ("storage.k8s.io/v1", "VolumeAttributesClass"): b',"driverName":""',
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"): _SPEC,
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding"): _SPEC,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): _BOTH,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): _SPEC,
    ("resource.k8s.io/v1", "DeviceClass"): _SPEC,
    ("resource.k8s.io/v1", "DeviceTaintRule"): b',"spec":{"taint":{"key":"","effect":""}},"status":{}',
    ("resource.k8s.io/v1", "ResourceClaim"): b',"spec":{"devices":{"requests":null}},"status":{}',
    ("resource.k8s.io/v1", "ResourceClaimTemplate"): b',"spec":{"metadata":{},"spec":{"devices":{"requests":null}}}',
    ("resource.k8s.io/v1", "ResourceSlice"): b',"spec":{"driver":"","pool":{"name":"","generation":0,'
    b'"resourceSliceCount":0}}',
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"): b',"spec":{"type":""},"status":{}',
    (
        "storagemigration.k8s.io/v1",
        "StorageVersionMigration",
    ): b',"spec":{"resource":{"group":"","resource":""}},"status":{}',
    ("node.k8s.io/v1", "RuntimeClass"): b',"handler":""',
}


def bookmark(served: ServedType, rv: int, initial_end: bool) -> bytes:
    """The event's bytes; `initial_end` says that the initial events of a WatchList are over."""
    head = type_meta(served)
    notes = [] if served.kind != "DaemonSet" else [b'"deprecated.daemonset.template.generation":"0"']
    if initial_end:
        notes.append(b'"%b":"true"' % INITIAL_EVENTS_END.encode())
    mark = b'"annotations":{%b}' % b",".join(notes) if notes else b""
    version = b'"resourceVersion":"%d"' % rv
    parts = (mark, version) if served.custom else (version, mark)
    meta = b",".join(part for part in parts if part)
    empty = b"" if served.custom else _EMPTY.get((served.api_version, served.kind), b"")
    return b'{"type":"BOOKMARK","object":%b"metadata":{%b}%b}}\n' % (head, meta, empty)
