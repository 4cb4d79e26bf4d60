"""Secrets leave the member without their values: keys stay, with empty strings as values (traps 21)."""

from __future__ import annotations

from typing import Final

import msgspec

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""A Secret's holds its data."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def redacted(raw: bytes) -> bytes:
    """The Secret without values. Raises msgspec.DecodeError where it has no Secret's form: then nothing may leave."""
    members = _members.decode(raw)
    for name in ("data", "stringData"):
        if name in members and bytes(members[name]) != b"null":
            keys = _members.decode(members[name])
            members[name] = msgspec.Raw(_encode(dict.fromkeys(keys, "")))
    metadata = _members.decode(members.get("metadata", msgspec.Raw(b"{}")))
    if "annotations" in metadata and bytes(metadata["annotations"]) != b"null":
        annotations = _members.decode(metadata["annotations"])
        if annotations.pop(LAST_APPLIED, None) is not None:
            metadata["annotations"] = msgspec.Raw(_encode(annotations))
            members["metadata"] = msgspec.Raw(_encode(metadata))
    return bytes(_encode(members))
