"""Receives from a Service Bus queue in peek-lock and runs a function, as extension 5.x does.

Each message that is worked on has a link of its own, because the SDK cannot wait for a message and
settle another on the same link: each of the two waits for frames that the other has read.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

import certifi
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus._pyamqp import _decode
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError

from local.host import messages as wire
from local.host.index import service_bus_connection
from local.host.invocation import InvocationFailed, Invoker
from local.host.layer import Layer
from local.host.logs import HOST
from local.host.settings import ServiceBusSettings, expand
from local.host.worker_checks import IndexedFunction

#: waits between attempts to reach the service again (seconds)
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 2.0
#: how long a link waits for a message before it goes, unless it is the last one (seconds)
_RECEIVE_WAIT = 30.0
#: closing a receiver whose peer has ended must not hold up a stop (seconds)
_CLOSE_WAIT = 3.0


_TIMESTAMP_CODE = 0x83
_decode_plain_timestamp = _decode._DECODE_BY_CONSTRUCTOR[_TIMESTAMP_CODE]


def _decode_timestamp(buffer: memoryview, depth: int = 0) -> tuple[memoryview, int]:
    rest, value = _decode_plain_timestamp(buffer, depth)
    return rest, wire.Timestamp(value)


# The SDK makes a plain int of it, like any number among the properties of a message.
_decode._DECODE_BY_CONSTRUCTOR[_TIMESTAMP_CODE] = _decode_timestamp


@functools.cache
def _tls() -> ssl.SSLContext:
    # Each link of the SDK reads all certificates anew, 17 ms of CPU even where it uses no TLS.
    return ssl.create_default_context(cafile=certifi.where())


class QueueListener:
    """One function with a Service Bus queue trigger: receives, invokes, settles.

    It waits for messages on one link. With the first message come as many links as calls may run
    at the same time, and links that get nothing for a while are closed.
    """

    def __init__(
        self,
        function: IndexedFunction,
        worker: Invoker,
        settings: ServiceBusSettings,
        environ: Mapping[str, str],
        layer: Layer | None = None,
    ) -> None:
        trigger = function.trigger
        self._function, self._worker, self._settings = function, worker, settings
        self._layer = layer
        self._connection = service_bus_connection(str(trigger.get("connection") or ""), environ)
        self.queue = expand(str(trigger["queueName"]), environ)
        self._binary = str(trigger.get("dataType") or "").lower() == "binary"
        self._most = settings.max_concurrent_calls
        #: tasks with a link each, or on the way to one
        self._slots: set[asyncio.Task[Any]] = set()
        #: those of them that have messages
        self._busy: set[asyncio.Task[Any]] = set()
        self._waiting = 0  # links that wait for a message
        self._outage = self._stopping = False

    def start(self) -> None:
        """Begin to receive; the service need not be there yet."""
        self._have_slots(1)

    async def stop(self, grace: float) -> None:
        """Stop receiving, give running invocations `grace` seconds, and close the links.

        What still runs then is cancelled and its messages are abandoned, for another delivery.
        """
        self._stopping = True
        for task in self._slots - self._busy:
            task.cancel()
        if self._slots:
            _, late = await asyncio.wait(self._slots, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=2 * _CLOSE_WAIT)

    def _have_slots(self, count: int) -> None:
        while len(self._slots) < count and not self._stopping:
            task = asyncio.get_running_loop().create_task(self._slot())
            self._slots.add(task)
            task.add_done_callback(self._slots.discard)

    async def _slot(self) -> None:
        """Receive on a link of its own, until it gets nothing while others wait too."""
        wait = _FIRST_WAIT
        while True:
            try:
                async with self._link() as receiver:
                    wait = _FIRST_WAIT
                    await self._pump(receiver)
            except Exception as exc:
                if not self._waiting:
                    self._report_outage(exc)
            else:
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[ServiceBusReceiver]:
        client = ServiceBusClient.from_connection_string(
            self._connection, retry_total=0, ssl_context=_tls()
        )
        receiver = client.get_queue_receiver(self.queue)
        try:
            await receiver.__aenter__()
            yield receiver
        finally:
            for closing in (receiver.close, client.close):
                with suppress(Exception):
                    await asyncio.wait_for(closing(), _CLOSE_WAIT)

    def _report_outage(self, exc: Exception) -> None:
        if not self._outage:
            self._outage = True
            HOST.warning(
                "%s does not receive from the queue %s (%s: %s); trying again until it does",
                self._function.name,
                self.queue,
                type(exc).__name__,
                str(exc).splitlines()[0] if str(exc) else "",
            )

    def _report_back(self) -> None:
        if self._outage:
            self._outage = False
            HOST.info("%s receives from the queue %s again", self._function.name, self.queue)

    async def _pump(self, receiver: ServiceBusReceiver) -> None:
        """Receive and process until the link fails, or gets nothing while others wait too."""
        self._report_back()
        while not self._stopping:
            self._waiting += 1
            try:
                received = await receiver.receive_messages(1, max_wait_time=_RECEIVE_WAIT)
            finally:
                self._waiting -= 1
            if received:
                self._have_slots(self._most)
                self._busy.add(_this_task())
                try:
                    await self._process(receiver, received[0])
                finally:
                    self._busy.remove(_this_task())
            elif self._waiting:
                break

    async def _process(
        self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage
    ) -> None:
        # A task, because what a function puts into context variables is of no concern to the next.
        invocation = asyncio.ensure_future(self._invoke(message))
        try:
            await self._hold_lock(receiver, message, invocation)
            succeeded = await invocation
        except asyncio.CancelledError:
            # The host stops. A lock outlives its link, so the message is given back explicitly.
            invocation.cancel()
            await asyncio.wait({invocation})
            await self._settle(message, receiver.abandon_message, "given back")
            raise
        if not succeeded:
            await self._settle(message, receiver.abandon_message, "abandoned")
        elif self._settings.auto_complete_messages:
            await self._settle(message, receiver.complete_message, "completed")

    async def _invoke(self, message: ServiceBusReceivedMessage) -> bool:
        """Run the function; False when it failed."""
        reason = f"{self.queue}, message {message.message_id}, sequence {message.sequence_number}"
        try:
            value, metadata = wire.one(message, self._binary)
            layer = self._layer
            async with layer.message(wire.read_body(message)) if layer else nullcontext():
                await self._worker.invoke(self._function, value, metadata, reason=reason)
        except InvocationFailed:
            return False
        except Exception as exc:
            known = isinstance(exc, wire.UnreadableBody)
            name = self._function.name
            HOST.error("%s was not called (%s): %s", name, reason, exc, exc_info=not known)
            return False
        return True

    async def _hold_lock(
        self,
        receiver: ServiceBusReceiver,
        message: ServiceBusReceivedMessage,
        invocation: asyncio.Future[bool],
    ) -> None:
        """Renew a message's lock, at half of its time, until the invocation ends or it fails."""
        last = time.monotonic() + self._settings.max_auto_lock_renewal
        while True:
            until = message.locked_until_utc
            left = (until - datetime.now(UTC)).total_seconds() if until else 60.0
            pause = min(max(left / 2, 0.1), last - time.monotonic())
            if pause <= 0:
                return
            await asyncio.wait({invocation}, timeout=pause)
            if invocation.done():
                return
            try:
                await receiver.renew_message_lock(message)
            except Exception as exc:
                HOST.warning(
                    "The lock of message %s cannot be renewed: %s", message.message_id, exc
                )
                return

    async def _settle(
        self,
        message: ServiceBusReceivedMessage,
        settle: Callable[[ServiceBusReceivedMessage], Awaitable[None]],
        what: str,
    ) -> None:
        try:
            await settle(message)
        except MessageLockLostError:
            HOST.warning(
                "Message %s was not %s: its lock was lost, so it is delivered again",
                message.message_id,
                what,
            )
        except Exception as exc:
            HOST.warning(
                "Message %s was not %s (%s), so it is delivered again",
                message.message_id,
                what,
                exc,
            )


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - only coroutines call this; it is for the type checker
    return task
