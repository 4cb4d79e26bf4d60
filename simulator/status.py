"""Errors as a kube-apiserver words them: every one a `Status` object."""

from __future__ import annotations

from typing import Any

from .template import go_json


class StatusError(Exception):
    """An answer that is not 2xx; `code` is HTTP's, `reason` what clients classify by; `plain`: a bare text
    instead, as the server answers where nothing is registered."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        retry_after: int = 0,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.plain = plain

    def body(self) -> bytes:
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        details = dict(self.details or {})
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        if self.details is not None or details:
            status["details"] = details
        status["code"] = self.code
        return go_json(status)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(verb: str, resource: str, group: str) -> StatusError:
    message = (
        f'{resource}{"." + group if group else ""} is forbidden: User "simulated" cannot {verb} resource '
        f'"{resource}" in API group "{group}" at the cluster scope'
    )
    return StatusError(403, "Forbidden", message, {"group": group, "kind": resource} if group else {"kind": resource})


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def no_such_page() -> StatusError:
    return StatusError(404, "NotFound", "404 page not found", plain=True)


def bad_watch_version(text: str) -> StatusError:
    message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    return StatusError(500, "", message)


def not_found(group: str, resource: str, name: str) -> StatusError:
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, **({"group": group} if group else {}), "kind": resource}
    return StatusError(404, "NotFound", f'{qualified} "{name}" not found', details)


def already_exists(group: str, resource: str, name: str) -> StatusError:
    qualified = f"{resource}.{group}" if group else resource
    details = {"name": name, **({"group": group} if group else {}), "kind": resource}
    return StatusError(409, "AlreadyExists", f'{qualified} "{name}" already exists', details)


def conflict(group: str, resource: str, name: str) -> StatusError:
    qualified = f"{resource}.{group}" if group else resource
    message = (
        f'Operation cannot be fulfilled on {qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    details = {"name": name, **({"group": group} if group else {}), "kind": resource}
    return StatusError(409, "Conflict", message, details)


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def expired(asked: int, oldest: int) -> StatusError:
    """A watch from a version that is no longer kept."""
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def list_expired() -> StatusError:
    """A list at a version that is no longer kept."""
    message = "The resourceVersion for the provided list is too old."
    return StatusError(410, "Expired", message)


def too_large(asked: int, current: int) -> StatusError:
    message = f"Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(504, "Timeout", f"Timeout: {message}", {"causes": [cause]}, retry_after=1)


def name_required(kind: str, group: str) -> StatusError:
    problem = "Required value: name or generateName is required"
    cause = {"reason": "FieldValueRequired", "message": problem, "field": "metadata.name"}
    details = {**({"group": group} if group else {}), "kind": kind, "causes": [cause]}
    return StatusError(
        422, "Invalid", f'{kind}{"." + group if group else ""} "" is invalid: metadata.name: {problem}', details
    )


def too_large_body(limit: int) -> StatusError:
    message = f"Request entity too large: limit is {limit}"
    return StatusError(413, "RequestEntityTooLarge", message, {})


def too_many_requests(seconds: int) -> StatusError:
    message = "Too many requests, please try again later."
    return StatusError(429, "TooManyRequests", message, {}, retry_after=seconds)


def unavailable(seconds: int = 1) -> StatusError:
    message = "apiserver is shutting down"
    return StatusError(503, "ServiceUnavailable", message, {}, retry_after=seconds)


def internal_error(message: str = "simulated fault") -> StatusError:
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)


def invalid_options(*problems: tuple[str, str]) -> StatusError:
    """422 for list options that contradict each other; each problem is a field and what is wrong with it."""
    said = [f"{field}: {problem}" for field, problem in problems]
    causes = [
        {
            "reason": "FieldValueForbidden" if problem.startswith("Forbidden") else "FieldValueNotSupported",
            "message": problem,
            "field": field,
        }
        for field, problem in problems
    ]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    message = f'ListOptions.meta.k8s.io "" is invalid: {listed}'
    return StatusError(422, "Invalid", message, {"group": "meta.k8s.io", "kind": "ListOptions", "causes": causes})
