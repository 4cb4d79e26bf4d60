"""One tree of errors. Each knows its HTTP status and Kubernetes reason; each face renders them in one place.

FleetpediaError
├── BadRequest 400          what was asked cannot be understood; the message says where and what would be right
├── Unauthorized 401        no or no valid credential
├── Forbidden 403           the credential does not reach that far
├── NotFound 404
├── MethodNotAllowed 405    writes on the index
├── NotAcceptable 406       no form of the answer is one that the caller accepts
├── Conflict 409
│   ├── Ambiguous           one name in several clusters
│   ├── Fenced              a newer epoch (or a removed, paused, foreign cluster) ended this session
│   └── Gap                 a batch does not follow on what is committed; `acked` says from where to resend
├── Expired 410             a cursor or continue token from before what is kept
├── TooLarge 413
├── UnsupportedMediaType 415
├── Unprocessable 422
├── TooManyRequests 429     with `retry_after` seconds
├── NotBuilt 501            a reserved name; the message says what to use instead
├── Unavailable 503         the database or a member is away
└── TooNew 504              a cursor from the future
"""

from __future__ import annotations

from typing import Any, ClassVar


class FleetpediaError(Exception):
    """Base of all errors that a caller may see. `details` is shown to the caller, so no secrets in it."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, *, details: dict[str, Any] | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after


class BadRequest(FleetpediaError):
    status, reason = 400, "BadRequest"


class Unauthorized(FleetpediaError):
    status, reason = 401, "Unauthorized"


class Forbidden(FleetpediaError):
    status, reason = 403, "Forbidden"


class NotFound(FleetpediaError):
    status, reason = 404, "NotFound"


class MethodNotAllowed(FleetpediaError):
    status, reason = 405, "MethodNotAllowed"


class NotAcceptable(FleetpediaError):
    status, reason = 406, "NotAcceptable"


class Conflict(FleetpediaError):
    status, reason = 409, "Conflict"


class Ambiguous(Conflict):
    pass


class Fenced(Conflict):
    reason = "Fenced"


class Gap(Conflict):
    reason = "Gap"

    def __init__(self, message: str, *, acked: int):
        super().__init__(message, details={"acked": acked})
        self.acked = acked


class Expired(FleetpediaError):
    status, reason = 410, "Expired"


class TooLarge(FleetpediaError):
    status, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(FleetpediaError):
    status, reason = 415, "UnsupportedMediaType"


class Unprocessable(FleetpediaError):
    status, reason = 422, "Invalid"


class TooManyRequests(FleetpediaError):
    status, reason = 429, "TooManyRequests"


class NotBuilt(FleetpediaError):
    status, reason = 501, "NotImplemented"


class Unavailable(FleetpediaError):
    status, reason = 503, "ServiceUnavailable"


class TooNew(FleetpediaError):
    status, reason = 504, "Timeout"
