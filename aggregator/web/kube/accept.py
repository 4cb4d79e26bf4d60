"""Which form of an answer a client wants, by its Accept header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from schema.errors import NotAcceptable

Form = Literal["json", "table", "metadata"]
DiscoveryForm = Literal["legacy", "v2", "v2beta1"]
_JSON: Final = ("application/json", "application/*", "*/*")
_MAX: Final = 8192


class MediaType(NamedTuple):
    name: str
    parameters: Mapping[str, str]


def media_types(header: str) -> list[MediaType]:
    """Best first: by q, then in the client's order. An empty header takes anything."""
    found: list[tuple[float, MediaType]] = []
    for part in header[:_MAX].split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        if not name:
            continue
        parameters = {
            key.strip(): value.strip().strip('"') for key, _, value in (piece.partition("=") for piece in rest)
        }
        quality = _quality(parameters.pop("q", "1"))
        if quality > 0:
            found.append((quality, MediaType(name.lower(), parameters)))
    found.sort(key=lambda pair: -pair[0])
    return [media for _, media in found] if header.strip() else [MediaType("*/*", {})]


def resource_form(header: str) -> Form:
    """Raises NotAcceptable where nothing fits."""
    for media in media_types(header):
        if media.name not in _JSON:
            continue
        match media.parameters.get("as"), media.parameters.get("v"), media.parameters.get("g"):
            case None, _, _:
                return "json"
            case "Table", "v1", "meta.k8s.io":
                return "table"
            case "PartialObjectMetadata" | "PartialObjectMetadataList", "v1", "meta.k8s.io":
                return "metadata"
    raise NotAcceptable(
        "no accepted form can be given; there is application/json, plain or with as=Table, as=PartialObjectMetadata"
        " or as=PartialObjectMetadataList of v=v1;g=meta.k8s.io"
    )


def discovery_form(header: str) -> DiscoveryForm:
    """Raises NotAcceptable where nothing fits."""
    for media in media_types(header):
        if media.name not in _JSON:
            continue
        kind, group = media.parameters.get("as"), media.parameters.get("g")
        if kind is None:
            return "legacy"
        if (kind, group) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io"):
            match media.parameters.get("v"):
                case "v2":
                    return "v2"
                case "v2beta1":
                    return "v2beta1"
    raise NotAcceptable("no accepted form can be given; there is application/json")


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
