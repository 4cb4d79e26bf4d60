"""Kubeconfigs that come over REST: inline credentials only. A plug-in or a path would be code or file access here."""

from __future__ import annotations

from typing import Any, Final

import yaml

from schema.errors import BadRequest

_MOST_BYTES: Final = 256 * 1024
_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_WAY: Final = (
    "an agent beside the aggregator needs inline credentials; use `fleetpedia clusters manifest NAME | kubectl apply "
    "-f -` to run it in the member, or `fleetpedia up` on your own machine"
)


def inline_credentials(data: bytes, context: str | None) -> bytes:
    """The one `context` (else the current one) of a kubeconfig as a kubeconfig of its own, YAML.

    Raises BadRequest for what is not a kubeconfig, a context that is not in it, exec, auth providers and file paths."""
    if len(data) > _MOST_BYTES:
        raise BadRequest(f"the kubeconfig is larger than {_MOST_BYTES} bytes")
    try:
        loaded = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that is none
        raise BadRequest(f"the kubeconfig is not YAML: {str(error)[:300]}") from error
    if not isinstance(loaded, dict) or not loaded.get("contexts"):
        raise BadRequest("this is not a kubeconfig: it has no contexts")
    wanted = context or loaded.get("current-context")
    if not wanted:
        raise BadRequest("the kubeconfig has no current context; name one with --context")
    chosen = _named(loaded, "contexts", wanted, "context")
    cluster = _named(loaded, "clusters", chosen.get("cluster"), "cluster")
    user = _named(loaded, "users", chosen.get("user"), "user")
    if not str(cluster.get("server", "")).startswith("https://"):
        raise BadRequest(f"context {wanted}: the server must be an https:// URL")
    for part in (cluster, user):
        for key in ("exec", "auth-provider"):
            if key in part:
                raise BadRequest(f"context {wanted}: {key} would run code here; {_WAY}")
        for key in _FILES:
            if key in part:
                raise BadRequest(f"context {wanted}: {key} is a file path here; {_WAY}")
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "member",
        "contexts": [{"name": "member", "context": {"cluster": "member", "user": "member"}}],
        "clusters": [{"name": "member", "cluster": cluster}],
        "users": [{"name": "member", "user": user}],
    }
    return yaml.safe_dump(whole, sort_keys=False).encode()


def _named(loaded: dict[str, Any], section: str, name: Any, what: str) -> dict[str, Any]:
    entries = [entry for entry in _list(loaded.get(section)) if isinstance(entry, dict)]
    for entry in entries:
        if isinstance(name, str) and entry.get("name") == name:
            content = entry.get(what)
            return content if isinstance(content, dict) else {}
    known = ", ".join(entry["name"] for entry in entries if isinstance(entry.get("name"), str))
    wanted = repr(name) if isinstance(name, str) else "of such a name"
    raise BadRequest(f"the kubeconfig has no {what} {wanted}; it has: {known or 'none'}")


def _list(section: Any) -> list[Any]:
    return section if isinstance(section, list) else []
