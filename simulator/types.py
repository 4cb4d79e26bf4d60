"""The types of resource that a simulated member serves: the built-in ones of Kubernetes and those of its CRDs."""

from __future__ import annotations

from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CHANGE_VERBS = ("get", "patch", "update")

StorageKey = tuple[str, str]
"""(group, resource) under which objects are kept; two served types may share one, as both kinds of Events do."""


@dataclass(frozen=True, slots=True)
class Subresource:
    """`pods/status` and the like; `group` and `version` are set only where the answer is of another API."""

    name: str
    kind: str
    verbs: tuple[str, ...] = CHANGE_VERBS
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServedType:
    """One group/version/resource as discovery tells it and as paths address it."""

    group: str
    version: str
    resource: str
    kind: str
    namespaced: bool
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    custom: bool = False
    """True for a CRD's type: its list items carry apiVersion and kind, its keys come in alphabetical order."""
    storage: StorageKey = field(default=("", ""))

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: how Status messages name it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"


SCALE = Subresource("scale", "Scale", CHANGE_VERBS, "autoscaling", "v1")


def _type(
    gv: str,
    resource: str,
    kind: str,
    namespaced: bool = True,
    short: str = "",
    categories: str = "",
    status: bool = False,
    subresources: tuple[Subresource, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    storage: StorageKey | None = None,
) -> ServedType:
    group, _, version = gv.rpartition("/")
    if status:
        subresources = (*subresources, Subresource("status", kind))
    return ServedType(
        group,
        version,
        resource,
        kind,
        namespaced,
        kind.lower(),
        tuple(short.split()),
        tuple(categories.split()),
        verbs,
        tuple(sorted(subresources, key=lambda s: s.name)),
        storage=storage or (group, resource),
    )


_CONNECT = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")
POD_SUBRESOURCES = (
    Subresource("attach", "PodAttachOptions", _CONNECT),
    Subresource("binding", "Binding", ("create",)),
    Subresource("ephemeralcontainers", "Pod"),
    Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
    Subresource("exec", "PodExecOptions", _CONNECT),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", _CONNECT),
    Subresource("proxy", "PodProxyOptions", _PROXY),
    Subresource("resize", "Pod"),
)
CREATE = ("create",)
NO_COLLECTION_DELETE = tuple(v for v in ALL_VERBS if v != "deletecollection")

BUILT_IN: tuple[ServedType, ...] = (
    _type("v1", "bindings", "Binding", verbs=CREATE),
    _type("v1", "componentstatuses", "ComponentStatus", False, "cs", verbs=("get", "list")),
    _type("v1", "configmaps", "ConfigMap", short="cm"),
    _type("v1", "endpoints", "Endpoints", short="ep"),
    _type("v1", "events", "Event", short="ev"),
    _type("v1", "limitranges", "LimitRange", short="limits"),
    _type(
        "v1",
        "namespaces",
        "Namespace",
        False,
        "ns",
        status=True,
        subresources=(Subresource("finalize", "Namespace", ("update",)),),
        verbs=NO_COLLECTION_DELETE,
    ),
    _type(
        "v1",
        "nodes",
        "Node",
        False,
        "no",
        status=True,
        subresources=(Subresource("proxy", "NodeProxyOptions", _PROXY),),
    ),
    _type("v1", "persistentvolumeclaims", "PersistentVolumeClaim", short="pvc", status=True),
    _type("v1", "persistentvolumes", "PersistentVolume", False, "pv", status=True),
    _type("v1", "pods", "Pod", short="po", categories="all", status=True, subresources=POD_SUBRESOURCES),
    _type("v1", "podtemplates", "PodTemplate"),
    _type(
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        short="rc",
        categories="all",
        status=True,
        subresources=(SCALE,),
    ),
    _type("v1", "resourcequotas", "ResourceQuota", short="quota", status=True),
    _type("v1", "secrets", "Secret"),
    _type(
        "v1",
        "serviceaccounts",
        "ServiceAccount",
        short="sa",
        subresources=(Subresource("token", "TokenRequest", CREATE, "authentication.k8s.io", "v1"),),
    ),
    _type(
        "v1",
        "services",
        "Service",
        short="svc",
        categories="all",
        status=True,
        subresources=(Subresource("proxy", "ServiceProxyOptions", _PROXY),),
    ),
    _type("apiregistration.k8s.io/v1", "apiservices", "APIService", False, "", "api-extensions", True),
    _type("apps/v1", "controllerrevisions", "ControllerRevision"),
    _type("apps/v1", "daemonsets", "DaemonSet", True, "ds", "all", True),
    _type("apps/v1", "deployments", "Deployment", True, "deploy", "all", True, (SCALE,)),
    _type("apps/v1", "replicasets", "ReplicaSet", True, "rs", "all", True, (SCALE,)),
    _type("apps/v1", "statefulsets", "StatefulSet", True, "sts", "all", True, (SCALE,)),
    _type("events.k8s.io/v1", "events", "Event", short="ev", storage=("", "events")),
    _type("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=CREATE),
    _type("authentication.k8s.io/v1", "tokenreviews", "TokenReview", False, verbs=CREATE),
    _type("authorization.k8s.io/v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=CREATE),
    _type("authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=CREATE),
    _type("authorization.k8s.io/v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=CREATE),
    _type("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", False, verbs=CREATE),
    _type("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, "hpa", "all", True),
    _type("autoscaling/v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, "hpa", "all", True),
    _type("batch/v1", "cronjobs", "CronJob", True, "cj", "all", True),
    _type("batch/v1", "jobs", "Job", True, "", "all", True),
    _type(
        "certificates.k8s.io/v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        False,
        "csr",
        status=True,
        subresources=(Subresource("approval", "CertificateSigningRequest"),),
    ),
    _type("certificates.k8s.io/v1", "clustertrustbundles", "ClusterTrustBundle", False),
    _type("certificates.k8s.io/v1", "podcertificaterequests", "PodCertificateRequest", status=True),
    _type("networking.k8s.io/v1", "ingressclasses", "IngressClass", False),
    _type("networking.k8s.io/v1", "ingresses", "Ingress", True, "ing", "", True),
    _type("networking.k8s.io/v1", "ipaddresses", "IPAddress", False, "ip"),
    _type("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True, "netpol"),
    _type("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", False, "", "", True),
    _type("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True, "pdb", "", True),
    _type("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", False),
    _type("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", False),
    _type("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    _type("rbac.authorization.k8s.io/v1", "roles", "Role"),
    _type("storage.k8s.io/v1", "csidrivers", "CSIDriver", False),
    _type("storage.k8s.io/v1", "csinodes", "CSINode", False, status=True),
    _type("storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity"),
    _type("storage.k8s.io/v1", "storageclasses", "StorageClass", False, "sc"),
    _type("storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", False, "", "", True),
    _type("storage.k8s.io/v1", "volumeattributesclasses", "VolumeAttributesClass", False, "vac"),
    _type(
        "admissionregistration.k8s.io/v1",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy",
        False,
        "",
        "api-extensions",
    ),
    _type(
        "admissionregistration.k8s.io/v1",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
        False,
        "",
        "api-extensions",
    ),
    _type(
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        False,
        "",
        "api-extensions",
    ),
    _type(
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        False,
        "",
        "api-extensions",
        True,
    ),
    _type(
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        False,
        "",
        "api-extensions",
    ),
    _type(
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        False,
        "",
        "api-extensions",
    ),
    _type(
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        "crd crds",
        "api-extensions",
        True,
    ),
    _type("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", False, "pc"),
    _type("coordination.k8s.io/v1", "leases", "Lease"),
    _type("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", False),
    _type("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
    _type("resource.k8s.io/v1", "deviceclasses", "DeviceClass", False),
    _type("resource.k8s.io/v1", "devicetaintrules", "DeviceTaintRule", False, status=True),
    _type("resource.k8s.io/v1", "resourceclaims", "ResourceClaim", status=True),
    _type("resource.k8s.io/v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
    _type("resource.k8s.io/v1", "resourceslices", "ResourceSlice", False),
    _type("flowcontrol.apiserver.k8s.io/v1", "flowschemas", "FlowSchema", False, "", "", True),
    _type(
        "flowcontrol.apiserver.k8s.io/v1",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration",
        False,
        "",
        "",
        True,
    ),
    _type("storagemigration.k8s.io/v1", "storageversionmigrations", "StorageVersionMigration", False, status=True),
)
