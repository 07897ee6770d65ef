"""What can go wrong, as one tree of types.

ServiceError
    InvalidRequest          the request breaks the API's contract; carries every fault
        UnreadableBody      the body is not JSON that this API reads
        ReceiverRefused     the endpoint of a subscription does not answer as it must
    Unauthenticated         no access token that this service accepts
    Forbidden               the caller lacks the permission that the operation needs
    LimitReached            there are as many subscriptions as there may be
    NotFound                no flow set, flow or other entity under that id
    UnknownPath             the API has no such path at all
    MethodNotAllowed        the path exists, but not with this method
    Conflict                the state of the set forbids it: it has a flow of that kind already
        UnreadablePassword  a stored password opens with none of the service's keys
    LengthRequired          the body came without a Content-Length, which Azure does not forward
    PreconditionFailed      If-Match or If-None-Match is not true of the stored entity
    BodyTooLarge            the body is longer than the service reads
    UrlTooLong              the URL is longer than the service reads
    UnsupportedEncoding     the body is compressed in a way that the service cannot read
    UnsupportedBatch        the batch is multipart, not JSON
    NotAcceptable           the caller takes no format that the service writes
    Unavailable             something behind the service does not answer; `retry_after` says when
        StoreUnavailable    Cosmos DB or Blob Storage
            Throttled       Cosmos DB has no throughput left for now
            StoreRefused    it refuses this app: a key, a role or a name is wrong
        PublishFailed       Service Bus did not take an event
            QueueRefused    it refuses this app, or has no such queue
        KeysUnavailable     the issuer's signing keys
    InvalidEvent            a queue message can never be processed as it is
    NewerEvent              an event of a version that only a later release of the service reads
SettingsError               app settings are missing or unusable; raised once, at first use

functions/http/errors.py maps each class to a status, by its nearest base class in the table there;
an error that is not in the table becomes a logged 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.context import Caller

MAX_FAULTS: Final = 100
"""How many faults one answer lists; collecting stops there."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: a code to branch on, a sentence, and where it is."""

    code: str
    message: str
    target: str | None = None


class ServiceError(Exception):
    """Base of every error whose text a caller may read."""


class InvalidRequest(ServiceError):
    """The request breaks the API's contract; `faults` lists everything that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        self.faults: Sequence[Fault] = faults
        super().__init__("; ".join(fault.message for fault in faults[:3]))


class UnreadableBody(InvalidRequest):
    """The body cannot be read as JSON, so nothing inside it could be checked."""

    def __init__(self, message: str) -> None:
        super().__init__(Fault("BadRequest", message))


class ReceiverRefused(InvalidRequest):
    """The endpoint of a subscription did not answer its validation as it must."""

    def __init__(self, message: str) -> None:
        super().__init__(Fault("ValidationError", message))


class LimitReached(ServiceError):
    """There are as many subscriptions as there may be."""


class Unauthenticated(ServiceError):
    """The request has no access token that this service accepts.

    The text is for the caller. `reason` is one of a few fixed phrases for the log, `challenge` the
    value of the WWW-Authenticate header.
    """

    def __init__(self, message: str, reason: str, challenge: str) -> None:
        self.reason = reason
        self.challenge = challenge
        super().__init__(message)


class Forbidden(ServiceError):
    """The caller is known and lacks the permission that the operation needs."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        super().__init__("Insufficient privileges to complete the operation.")


class LengthRequired(ServiceError):
    """The body came in chunks, without a Content-Length: the host hands over an empty one."""

    def __init__(self) -> None:
        super().__init__(
            "A body sent with Transfer-Encoding: chunked does not reach this service; send it "
            "with a Content-Length."
        )


class UnsupportedEncoding(ServiceError):
    """The body is compressed in a way that the service cannot read."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"The Content-Encoding '{given[:64]}' is not supported; send gzip, or no encoding."
        )


class UnsupportedBatch(ServiceError):
    """The batch is multipart, which OData allows and Graph does not read."""

    def __init__(self) -> None:
        super().__init__(
            "Multipart batches are not supported; send the requests as a JSON batch, with "
            "Content-Type: application/json."
        )


class NotAcceptable(ServiceError):
    """The caller takes none of the formats that the answer could have."""

    def __init__(self, given: str, written: str) -> None:
        super().__init__(f"'{given[:64]}' is not a format of this answer; ask for {written}.")


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
    """If-Match does not name the version of the entity that is stored, or If-None-Match does."""

    def __init__(self) -> None:
        super().__init__(
            "If-Match or If-None-Match is not true of the entity as it is now; read it again and "
            "repeat."
        )


class Unavailable(ServiceError):
    """Something behind the service does not answer; worth repeating after `retry_after` seconds."""

    def __init__(self, what: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"{what} just now. Repeat after {retry_after} s.")


class StoreUnavailable(Unavailable):
    """The store did not answer in time, or refused because of load."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("The store is not available", retry_after)


class Throttled(StoreUnavailable):
    """Cosmos DB has no throughput left; `retry_after` is the time that it asks for, in seconds."""

    def __init__(self, retry_after: int) -> None:
        Unavailable.__init__(self, "The store has no throughput left", retry_after)


class StoreRefused(StoreUnavailable):
    """A store refuses this app, or knows none of its containers: an operator has to act."""


class PublishFailed(Unavailable):
    """Service Bus did not take an event within the time a caller can wait; `why` says more."""

    def __init__(self, why: str, retry_after: int = 6) -> None:
        self.why = why
        super().__init__("The queue is not available", retry_after)


class QueueRefused(PublishFailed):
    """Service Bus refuses this app, or has no such queue: an operator has to act."""


class KeysUnavailable(Unavailable):
    """No signing key of the tenant could be fetched yet, so no token can be checked."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Access tokens cannot be checked", retry_after)


class InvalidEvent(ServiceError):
    """A queue message can never be processed as it is; the text says what its sender must fix."""


class NewerEvent(ServiceError):
    """An event is of a later version: an instance of that release has to process it."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The event is of version {version}, which this release does not read.")


class SettingsError(Exception):
    """App settings are missing or unusable; the text names every one of them."""
