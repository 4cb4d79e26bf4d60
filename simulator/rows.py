"""What is remembered of one object: enough to write its body again, nothing that the seed can tell."""

from __future__ import annotations

from typing import Any, Protocol

from .template import Template, go_json

_MASK128 = (1 << 128) - 1
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
_HEX_SPREAD = 0xD1B54A32D192ED03AB54A98CEB1F0AD28CB92BA72F3D8DD7DA942042E4DD58B5


class Identity:
    """Where a member's uids come from: a function of the member and an object's ordinal, so none is stored."""

    __slots__ = ("salt",)

    def __init__(self, salt: int) -> None:
        self.salt = salt & _MASK128

    def uid(self, ordinal: int) -> bytes:
        """A uid of version 4's shape, the same for the same ordinal in every run."""
        h = b"%032x" % ((ordinal * _SPREAD + self.salt * (ordinal | 1)) & _MASK128)
        return b"%b-%b-4%b-a%b-%b" % (h[:8], h[8:12], h[13:16], h[17:20], h[20:])

    def hex(self, ordinal: int) -> bytes:
        """64 hexadecimal digits, for container ids and digests."""
        return b"%064x" % (((ordinal + 1) * _HEX_SPREAD ^ self.salt * _SPREAD) & ((1 << 256) - 1))


class Row(Protocol):
    """One object at one version; immutable, so the ring of past changes may keep it."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def fields(self) -> dict[str, str]: ...
    def uid(self, identity: Identity) -> str: ...
    def body(self, identity: Identity, rv: int) -> bytes:
        """The text from `"metadata"` (built-in types) to the closing brace, without apiVersion and kind."""
        ...


class SeedRow:
    """An object that a template writes. `ordinal` numbers it in its member and stands for its uid."""

    __slots__ = ("_name", "_namespace", "ordinal", "owner", "template", "values")

    def __init__(
        self,
        template: Template,
        ordinal: int,
        namespace: str | bytes,
        name: str | bytes,
        values: tuple[bytes, ...] = (),
        owner: int = 0,
    ) -> None:
        self.template = template
        self.ordinal = ordinal
        self._namespace = namespace.encode() if isinstance(namespace, str) else namespace
        self._name = name.encode() if isinstance(name, str) else name
        self.values = values
        self.owner = owner

    @property
    def namespace(self) -> str:
        return self._namespace.decode()

    @property
    def name(self) -> str:
        return self._name.decode()

    @property
    def labels(self) -> dict[str, str]:
        return self.template.labels

    @property
    def fields(self) -> dict[str, str]:
        template = self.template
        if not template.fields:
            return {}
        holes = dict(zip(template.values, self.values, strict=True))
        return {
            path: holes[value[1:]].decode() if value.startswith("@") else value
            for path, value in template.fields.items()
        }

    def uid(self, identity: Identity) -> str:
        return identity.uid(self.ordinal).decode()

    def body(self, identity: Identity, rv: int) -> bytes:
        template = self.template
        ordinal = self.ordinal
        body: bytes = template.format % template.pick(
            (
                self._namespace,
                self._name,
                identity.uid(ordinal),
                b"%d" % rv,
                identity.uid(self.owner) if template.needs_owner else b"",
                identity.hex(ordinal) if template.needs_hex else b"",
                *self.values,
            )
        )
        return body

    def changed(self, template: Template | None = None, values: tuple[bytes, ...] | None = None) -> SeedRow:
        """The same object in another state."""
        return SeedRow(
            template or self.template,
            self.ordinal,
            self._namespace,
            self._name,
            self.values if values is None else values,
            self.owner,
        )


_METADATA_ORDER = (
    *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers"),
    "managedFields",
)
_RV = "@@resource-version@@"


_MAPS = frozenset(
    (
        *("labels", "annotations", "data", "binaryData", "matchLabels", "nodeSelector"),
        *("limits", "requests", "capacity", "allocatable"),
    )
)
"""Fields of typed objects that are maps in Go, which writes those in the order of their keys."""


def _maps_sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_maps_sorted(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: dict(sorted(item.items())) if key in _MAPS and isinstance(item, dict) else _maps_sorted(item)
        for key, item in value.items()
    }


class WrittenRow:
    """An object that a client wrote: its text is kept, cut where the resourceVersion goes."""

    __slots__ = ("_head", "_tail", "_uid", "custom", "labels", "name", "namespace")

    def __init__(self, obj: dict[str, Any], custom: bool) -> None:
        """`obj` is complete but for its resourceVersion; `custom` sorts keys as servers do for CRDs' objects."""
        meta = dict(obj["metadata"], resourceVersion=_RV)
        rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
        self.namespace: str = meta.get("namespace", "")
        self.name: str = meta["name"]
        self.labels: dict[str, str] = meta.get("labels") or {}
        self._uid: str = meta["uid"]
        self.custom = custom
        if custom:
            text = go_json({"metadata": meta, **rest}, sort_keys=True)
        else:
            known = {key: meta[key] for key in _METADATA_ORDER if key in meta}
            text = go_json(_maps_sorted({"metadata": {**known, **meta}, **rest}))
        self._head, _, self._tail = text[1:].partition(_RV.encode())

    @property
    def fields(self) -> dict[str, str]:
        return {}

    def uid(self, identity: Identity) -> str:
        return self._uid

    def body(self, identity: Identity, rv: int) -> bytes:
        return b"%b%d%b" % (self._head, rv, self._tail)

    def text(self) -> str:
        """The object without apiVersion, kind and version, from which the row can be made again."""
        return "{" + self.body(Identity(0), 0).decode()
