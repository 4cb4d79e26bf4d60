"""Which members an `up` runs: contexts of a kubeconfig that a person named, and simulated ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import yaml

from aggregator.supervise.folder import Member
from schema.errors import BadRequest

RESERVED: Final = ("fleet", "flat")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PLACES: Final = (
    *("eu-west", "us-east", "ap-south", "us-west", "eu-north", "sa-east", "ap-northeast", "af-south"),
    *("ca-central", "me-central", "eu-central", "ap-southeast", "us-central", "eu-south", "in-west"),
)


def check_name(name: str) -> str:
    """`name`, when it may be a cluster's. Raises BadRequest with what would be right."""
    if name in RESERVED:
        raise BadRequest(f"a cluster cannot be called {name!r}: the name is a context of the kubeconfig already")
    if not _LABEL.fullmatch(name):
        raise BadRequest(
            f"{name!r} is no name for a cluster: it must be a DNS label (lower-case letters, digits and '-', at most "
            "63, a letter or digit at both ends)"
        )
    return name


def dns_label(text: str) -> str:
    """`text` made a DNS label: `Kind_Prod@EU` becomes `kind-prod-eu`. Empty where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def demo_names(count: int) -> list[str]:
    """Stable: a larger fleet has the names of a smaller one, and more."""
    rounds = ((place, turn) for turn in range(1, count + 1) for place in _PLACES)
    return [place if turn == 1 else f"{place}-{turn}" for (place, turn), _ in zip(rounds, range(count), strict=False)]


def named_members(kubeconfig: str | None, contexts: list[str], all_contexts: bool) -> tuple[Member, ...]:
    """`contexts` as given: CONTEXT or CONTEXT=NAME. Raises BadRequest for a file, context or name that will not do."""
    file = _file(kubeconfig)
    known = _contexts(file)
    if all_contexts:
        chosen = [(context, "") for context in known]
    elif contexts:
        chosen = [_split(context, known, file) for context in contexts]
    else:
        raise BadRequest(
            f"say which contexts of {file} are members: --context C (or C=NAME), again for each, or --all-contexts; "
            f"it has {_list(known)}"
        )
    members: dict[str, Member] = {}
    for context, given in chosen:
        name = check_name(given) if given else _named_after(context)
        if name in members:
            raise BadRequest(
                f"contexts {members[name].context!r} and {context!r} would both be called {name!r}; give one of them "
                f"a name: --context '{context}=NAME'"
            )
        members[name] = Member(name, str(file), context)
    return tuple(members.values())


def _file(kubeconfig: str | None) -> Path:
    if kubeconfig:
        return Path(kubeconfig).expanduser().absolute()
    from_environment = os.environ.get("KUBECONFIG", "")
    if os.pathsep in from_environment:
        raise BadRequest("KUBECONFIG names several files; say with --kubeconfig F which one the contexts are in")
    return Path(from_environment or "~/.kube/config").expanduser().absolute()


def _contexts(file: Path) -> list[str]:
    try:
        content: Any = yaml.safe_load(file.read_text())
    except OSError as error:
        raise BadRequest(f"kubeconfig {file} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"kubeconfig {file} is not YAML: {' '.join(str(error).split())}") from error
    try:
        names = [str(context["name"]) for context in content["contexts"]]
    except (TypeError, KeyError):
        names = []
    if not names:
        raise BadRequest(f"{file} is no kubeconfig with contexts; `kubectl config get-contexts` should list some")
    return names


def _split(given: str, known: list[str], file: Path) -> tuple[str, str]:
    if given in known:
        return given, ""
    context, separator, name = given.rpartition("=")
    if separator and context in known:
        return context, name
    wanted = context if separator else given
    raise BadRequest(f"kubeconfig {file} has no context {wanted!r}; it has {_list(known)}")


def _named_after(context: str) -> str:
    name = dns_label(context)
    if not name or name in RESERVED:
        raise BadRequest(f"context {context!r} needs a name of its own: --context '{context}=NAME'")
    return name


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
