"""The operations of a queue's `$management` node: one request message in, one response out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from . import access, messages
from .codec import (
    AmqpDecodeError,
    Array,
    Int,
    Long,
    Sections,
    Symbol,
    Timestamp,
    decode,
    map_items,
    value_message,
)
from .queues import Lock, Message, Queue

LOCK_LOST = "com.microsoft:message-lock-lost"
NOT_FOUND = "com.microsoft:message-not-found"
NOT_IMPLEMENTED = "amqp:not-implemented"
NOT_ALLOWED = "amqp:not-allowed"
TOO_LARGE = "amqp:link:message-size-exceeded"

_UUIDS, _TIMESTAMPS, _LONGS = 0x98, 0x83, 0x81  # constructors of the arrays we send


class ManagementError(Exception):
    """A request cannot be done; carries the status code and error condition of the answer."""

    def __init__(self, status: int, condition: str, text: str) -> None:
        """`text` becomes the status description."""
        super().__init__(text)
        self.status = status
        self.condition = condition


def handle(queue: Queue, request: Sections) -> bytes:
    """Serve a request to the queue; the encoded response, also to what fails."""
    try:
        status, value = _run(queue, request)
        return _response(request, status, "OK" if status == 200 else "No content", None, value)
    except ManagementError as exc:
        return _response(request, exc.status, str(exc), exc.condition, {})
    except messages.TooLargeError as exc:
        return refuse_size(request, exc)
    except AmqpDecodeError as exc:
        return _response(
            request, 400, f"The request is not well formed: {exc}.", "amqp:decode-error", {}
        )


def refuse_size(request: Sections, fault: messages.TooLargeError) -> bytes:
    """The response to a request that is too large, or that holds a message that is."""
    return _response(request, 403, str(fault), TOO_LARGE, {})


def authorize(request: Sections) -> tuple[str | None, bytes]:
    """What is wrong with a request to `$cbs`, None if it brings a good token; and the response."""
    operation = application_properties(request).get("operation")
    if operation == "put-token":
        fault, status = access.fault(request.value(), time.time()), 401
    else:
        fault, status = f"$cbs knows put-token, not {operation!r}.", 501
    answer = {
        "status-code": Int(200 if fault is None else status),
        "status-description": fault or "OK",
    }
    return fault, value_message(_correlated(request), answer, None)


def application_properties(message: Sections) -> dict[Any, Any]:
    """The application properties of a request, decoded."""
    return {key: decode(value)[0] for key, value in map_items(message.application)}


def _run(queue: Queue, request: Sections) -> tuple[int, dict[str, Any]]:
    operation = str(application_properties(request).get("operation"))
    act = _OPERATIONS.get(operation)
    if act is None:
        raise ManagementError(
            501,
            NOT_IMPLEMENTED,
            f"This emulator does not have {operation}: no sessions, no topics and their rules.",
        )
    body = request.value()
    if not isinstance(body, dict):
        raise AmqpDecodeError("the body must be a map")
    return act(queue, body)


def _response(
    request: Sections, status: int, text: str, condition: str | None, value: dict[str, Any]
) -> bytes:
    application: dict[str, Any] = {"statusCode": Int(status), "statusDescription": text}
    if condition is not None:
        application["errorCondition"] = Symbol(condition)
    return value_message(_correlated(request), application, value)


def _correlated(request: Sections) -> list[Any]:
    """Properties whose correlation id is the request's message id, AMQP type included."""
    return [None] * 5 + [request.property_fields()[0]] + [None] * 7


def _items(body: dict[str, Any], key: str, kind: type) -> list[Any]:
    """A list or array of one kind of value in the request."""
    value = body.get(key)
    items = list(value.items) if isinstance(value, Array) else value
    if not isinstance(items, list) or not items or not all(isinstance(i, kind) for i in items):
        raise AmqpDecodeError(f"{key} must be an array of {kind.__name__}, not empty")
    return items


def _number(body: dict[str, Any], key: str, smallest: int) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value < 2**63:
        raise AmqpDecodeError(f"{key} must be a number, {smallest} or more")
    return value


def _renew_lock(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    ends = [queue.renew(token) for token in _items(body, "lock-tokens", uuid.UUID)]
    found = tuple(Timestamp(end) for end in ends if end is not None)
    if len(found) < len(ends):
        raise _lock_lost()
    return 200, {"expirations": Array(_TIMESTAMPS, found)}


def _peek(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    count = min(_number(body, "message-count", 1), 2**31)
    found: list[dict[str, bytes]] = []
    size = 0
    for message in queue.peek(_number(body, "from-sequence-number", -(2**63)), count):
        content = messages.deliver(message, None)
        size += len(content)
        if found and size > queue.max_message_size:
            break  # the client goes on from where this ends
        found.append({"message": content})
    return (200, {"messages": found}) if found else (204, {})


def _schedule(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if queue.dead_letters is None:
        raise ManagementError(400, NOT_ALLOWED, messages.NO_SENDING)
    read = []
    for entry in _items(body, "messages", dict):
        content = entry.get("message")
        if not isinstance(content, bytes):
            raise AmqpDecodeError("each of messages must hold binary under message")
        messages.check_size(content, queue.max_message_size)
        sections = messages.read(content)
        if messages.due_at(sections) is None:
            raise AmqpDecodeError("a message to schedule needs x-opt-scheduled-enqueue-time")
        read.append((content, sections))
    numbers = tuple(Long(messages.send(queue, *one)) for one in read)
    return 200, {"sequence-numbers": Array(_LONGS, numbers)}


def _cancel(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if not queue.cancel(_items(body, "sequence-numbers", int)):
        raise ManagementError(404, NOT_FOUND, "No scheduled message has that sequence number.")
    return 200, {}


def _receive(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    lock = _number(body, "receiver-settle-mode", 0) == 1
    found = queue.receive_deferred(_items(body, "sequence-numbers", int), lock=lock)
    if found is None:
        raise ManagementError(404, NOT_FOUND, "No deferred message has that sequence number.")
    return 200, {"messages": [_received(*one) for one in found]}


def _received(message: Message, lock: Lock | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": messages.deliver(message, lock)}
    if lock is not None:
        entry["lock-token"] = lock.token
    return entry


def _settle(queue: Queue, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status = body.get("disposition-status")
    changes = body.get("properties-to-modify") or {}
    if not isinstance(changes, dict):
        raise AmqpDecodeError("properties-to-modify must be a map")
    edit = messages.property_edit(changes)
    if status == "completed":
        settle: Callable[[uuid.UUID], bool] = queue.complete
    elif status == "abandoned":
        settle = lambda token: queue.abandon(token, edit)  # noqa: E731 - one of four of a kind
    elif status == "defered":  # spelt so on the wire
        settle = lambda token: queue.defer(token, edit)  # noqa: E731
    elif status == "suspended":
        if queue.dead_letters is None:
            raise ManagementError(400, NOT_ALLOWED, "This is a dead-letter queue already.")
        reason = _text(body, "deadletter-reason")
        description = _text(body, "deadletter-description")
        settle = lambda token: queue.dead_letter(token, reason, description, edit)  # noqa: E731
    else:
        raise AmqpDecodeError(
            "disposition-status must be completed, abandoned, defered or suspended"
        )
    settled = [settle(token) for token in _items(body, "lock-tokens", uuid.UUID)]
    if not all(settled):
        raise _lock_lost()
    return 200, {}


def _text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise AmqpDecodeError(f"{key} must be a string")
    return value


def _lock_lost() -> ManagementError:
    return ManagementError(
        410, LOCK_LOST, "The lock has ended or the message was settled: receive it again."
    )


_OPERATIONS: dict[str, Callable[[Queue, dict[str, Any]], tuple[int, dict[str, Any]]]] = {
    "com.microsoft:renew-lock": _renew_lock,
    "com.microsoft:peek-message": _peek,
    "com.microsoft:schedule-message": _schedule,
    "com.microsoft:cancel-scheduled-message": _cancel,
    "com.microsoft:receive-by-sequence-number": _receive,
    "com.microsoft:update-disposition": _settle,
}
