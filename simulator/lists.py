"""Answers to list and get: bodies joined as bytes, long lists written in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from . import status
from .bodies.events import as_events_v1
from .bodies.network import as_autoscaling_v1
from .member import Member
from .objects import Held
from .options import Options, encode_continue
from .template import go_json
from .types import ServedType

CONVERSIONS = {
    ("events.k8s.io/v1", "Event"): as_events_v1,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): as_autoscaling_v1,
}
"""Served types that are not in the shape in which their storage keeps them."""
CHUNK = 250
"""Items written at once: about 3 MB of pods."""


def object_bytes(member: Member, served: ServedType, held: Held) -> bytes:
    """The whole object, with its kind."""
    row, rv = held
    return type_meta(served) + converted(served, row.body(member.identity, rv))


def type_meta(served: ServedType) -> bytes:
    """The beginning of an object: typed ones say kind first, custom ones are sorted."""
    if served.custom:
        return b'{"apiVersion":"%b","kind":"%b",' % (served.api_version.encode(), served.kind.encode())
    return b'{"kind":"%b","apiVersion":"%b",' % (served.kind.encode(), served.api_version.encode())


def converted(served: ServedType, body: bytes) -> bytes:
    """The body in the shape of the version that was asked for."""
    convert = CONVERSIONS.get((served.api_version, served.kind))
    return convert(body) if convert else body


def known_version(member: Member, asked: int) -> None:
    """Raises 504 for a version that is yet to come."""
    if asked > member.rv:
        raise status.too_large(asked, member.rv)


class Page:
    """One page of a list, read at once; its bytes are made while it is sent."""

    def __init__(self, member: Member, served: ServedType, namespace: str, options: Options) -> None:
        self._member = member
        self._served = served
        objects = member.objects(served.storage)
        exact = options.rv if options.match == "Exact" else None
        if options.rv and exact is None:
            known_version(member, options.rv)
        if exact is not None:
            known_version(member, exact)
        at = exact if exact is not None and exact < member.rv else None
        self.rv = exact if exact is not None else member.rv
        walk = objects.walk(namespace, options.start, at)
        chosen = options.selection
        found = walk if chosen.everything else ((key, held) for key, held in walk if chosen.matches(held[0]))
        limit = options.limit
        taken = list(islice(found, limit)) if limit else list(found)
        more = bool(limit) and len(taken) == limit and next(found, None) is not None
        self.items: list[Held] = [held for _, held in taken]
        self.next = encode_continue(self.rv, taken[-1][0], options.sent + len(taken)) if more else ""
        self.remaining: int | None = None
        if more and chosen.everything:
            total = objects.count_at(at)
            if namespace:
                total = sum(1 for _ in objects.walk(namespace, b"", at))
            self.remaining = total - options.sent - len(taken)

    def chunks(self) -> Iterator[bytes]:
        """The text of the list, in pieces of at most CHUNK items."""
        served = self._served
        meta: dict[str, object] = {"resourceVersion": str(self.rv)}
        if self.next:
            meta["continue"] = self.next
        if self.remaining is not None:
            meta["remainingItemCount"] = self.remaining
        identity = self._member.identity
        if served.custom:
            meta = dict(sorted({"continue": "", **meta}.items()))
            item_head = type_meta(served)
            head = b'{"apiVersion":"%b","items":[' % served.api_version.encode()
            tail = b'],"kind":"%b","metadata":%b}\n' % (served.list_kind.encode(), go_json(meta))
        else:
            item_head = b"{"
            names = (served.list_kind.encode(), served.api_version.encode(), go_json(meta))
            head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % names
            tail = b"]}\n"
        separator = b"," + item_head
        for start in range(0, len(self.items), CHUNK) or (0,):
            part = self.items[start : start + CHUNK]
            bodies = [row.body(identity, rv) for row, rv in part]
            if (served.api_version, served.kind) in CONVERSIONS:
                bodies = [converted(served, body) for body in bodies]
            text = separator.join(bodies)
            first = head + item_head if start == 0 else separator
            yield (first + text) if part else head
        yield tail
