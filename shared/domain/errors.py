"""What can go wrong, as types.

ServiceError
    InvalidRequest          the caller's request breaks the API's contract; carries every fault
        UnreadableBody      the body is not JSON that this API takes
    BodyTooLarge            the body is longer than the service reads
    UrlTooLong              the URL is longer than the service reads
    NotFound                no flow set, flow or other entity under that id
    UnknownPath             the API has no such path at all
    MethodNotAllowed        the path exists, but not with this method
    Conflict                the state of the set forbids it: it has a flow of that kind already
        UnreadablePassword  a stored password opens with no key that the service has
    PreconditionFailed      If-Match names another version of the entity than the stored one
    StoreUnavailable        Cosmos DB did not answer, or asked us to slow down
    PublishFailed           Service Bus did not take an event
    InvalidEvent            a queue message can never be processed as it is
SettingsError               app settings are missing or unusable; raised once, at first use

functions/http/operations.py maps each to a status; what is not listed there is a 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: a code to branch on, a sentence, and where it is."""

    code: str
    message: str
    target: str | None = None


class ServiceError(Exception):
    """Base of every error that a caller, or the queue, may be told about."""


class InvalidRequest(ServiceError):
    """The request breaks the API's contract; `faults` lists everything that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        self.faults: Sequence[Fault] = faults
        super().__init__("; ".join(fault.message for fault in faults[:3]))


class UnreadableBody(InvalidRequest):
    """The body cannot be read as JSON, so nothing inside it could be checked."""

    def __init__(self, message: str) -> None:
        super().__init__(Fault("BadRequest", message))


class BodyTooLarge(ServiceError):
    """The body is longer than the service reads."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The request body is {size} bytes long; send at most {limit} bytes.")


class UrlTooLong(ServiceError):
    """The URL is longer than the service reads."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The URL is {size} characters long; send at most {limit} characters.")


class NotFound(ServiceError):
    """No entity is stored under the id that the caller named."""

    def __init__(self, entity_id: str) -> None:
        super().__init__(
            f"Resource '{entity_id}' does not exist or one of its queried "
            "reference-property objects are not present."
        )


class UnknownPath(ServiceError):
    """The API has no such path at all."""

    def __init__(self, segment: str) -> None:
        super().__init__(f"Resource not found for the segment '{segment[:200]}'.")


class MethodNotAllowed(ServiceError):
    """The path exists, but not with this method; `allowed` lists those it has."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = allowed
        super().__init__(f"{method} is not possible here; use {' or '.join(allowed)}.")


class Conflict(ServiceError):
    """The state of what is stored forbids the operation."""


class UnreadablePassword(Conflict):
    """A stored password cannot be decrypted: its key is not in the ring, or it was changed."""

    def __init__(self, key_id: str, *, known: bool) -> None:
        self.key_id = key_id
        super().__init__(
            f"A password does not open with the key '{key_id}': the key under that id is another "
            "one, or what is stored was changed. Set a new password on the flow."
            if known
            else f"A password is sealed by the key '{key_id}', which PASSWORD_KEYS does not hold: "
            "add that key behind the others, or set a new password on the flow."
        )


class PreconditionFailed(ServiceError):
    """If-Match names another version of the entity than the stored one."""

    def __init__(self) -> None:
        super().__init__("The entity has changed since it was read; read it again and repeat.")


class StoreUnavailable(ServiceError):
    """Cosmos DB did not answer in time or refused for load; worth repeating after a while."""

    def __init__(self, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(f"The store is not available just now. Repeat after {retry_after} s.")


class PublishFailed(ServiceError):
    """Service Bus did not take an event in the time that a caller can wait; `why` says more."""

    def __init__(self, why: str, retry_after: int = 6) -> None:
        self.why = why
        self.retry_after = retry_after
        super().__init__(f"The queue is not available just now. Repeat after {retry_after} s.")


class InvalidEvent(ServiceError):
    """A queue message can never be processed as it is; the text says what its sender must mend."""


class SettingsError(Exception):
    """App settings are missing or unusable; the text names every one of them."""
