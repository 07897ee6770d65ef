"""Receives from a Service Bus queue in peek-lock and runs a function, as extension 5.x does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from azure.functions.meta import Datum
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from local.host import messages as wire
from local.host.index import IndexedFunction, service_bus_connection
from local.host.invocation import InvocationFailed, Worker
from local.host.logs import HOST
from local.host.settings import ServiceBusSettings, expand

#: waits between attempts to reach the service again (seconds)
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 2.0
#: how long one receive call waits for a message (seconds)
_RECEIVE_WAIT = 30.0
#: how long the SDK waits for a frame (seconds); it can settle nothing meanwhile
_SOCKET_WAIT = 0.1
#: closing a receiver whose peer is gone must not hold up a stop (seconds)
_CLOSE_WAIT = 3.0
_DEAD_LETTERS = "/$deadletterqueue"


class QueueListener:
    """One function with a Service Bus queue trigger: receives, invokes, settles."""

    def __init__(
        self,
        function: IndexedFunction,
        worker: Worker,
        settings: ServiceBusSettings,
        environ: Mapping[str, str],
    ) -> None:
        trigger = function.trigger
        self._function, self._worker, self._settings = function, worker, settings
        self._connection = service_bus_connection(str(trigger.get("connection") or ""), environ)
        self.queue = expand(str(trigger["queueName"]), environ)
        self._binary = str(trigger.get("dataType") or "").lower() == "binary"
        self._many = str(trigger.get("cardinality") or "").lower() == "many"
        self._slots = asyncio.Semaphore(1 if self._many else settings.max_concurrent_calls)
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._outage = False
        self._grace = 0.0

    def start(self) -> None:
        """Begin to receive; the service need not be there yet."""
        self._task = asyncio.get_running_loop().create_task(self._receive_for_ever())

    async def stop(self, grace: float) -> None:
        """Stop receiving, give running invocations `grace` seconds, and close the link.

        What still runs then is cancelled and its messages are abandoned, for another delivery.
        """
        self._grace = grace
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._task}, timeout=grace + 3 * _CLOSE_WAIT)
        # During an outage the task had no link, but functions may still be running.
        await self._finish_running()

    async def run_by_hand(self, text: str) -> None:
        """Run the function with a body given by hand; a failure is logged only."""
        value, metadata = wire.by_hand(text, self._binary)
        with suppress(InvocationFailed):
            await self._worker.invoke(self._function, value, metadata, reason="by hand")

    async def _receive_for_ever(self) -> None:
        wait = _FIRST_WAIT
        while True:
            client = ServiceBusClient.from_connection_string(
                self._connection, retry_total=0, socket_timeout=_SOCKET_WAIT
            )
            receiver = self._receiver(client)
            try:
                await receiver.__aenter__()
                self._report_back()
                wait = _FIRST_WAIT
                await self._pump(receiver)
            except asyncio.CancelledError:
                await self._finish_running()
                raise
            except Exception as exc:
                self._report_outage(exc)
            finally:
                await self._close(receiver, client)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        queue, sub_queue = self.queue, None
        if queue.lower().endswith(_DEAD_LETTERS):
            queue, sub_queue = queue[: -len(_DEAD_LETTERS)], ServiceBusSubQueue.DEAD_LETTER
        return client.get_queue_receiver(
            queue, sub_queue=sub_queue, prefetch_count=self._settings.prefetch_count
        )

    async def _close(self, receiver: ServiceBusReceiver, client: ServiceBusClient) -> None:
        for closing in (receiver.close, client.close):
            with suppress(Exception):
                await asyncio.wait_for(closing(), _CLOSE_WAIT)

    async def _finish_running(self) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_CLOSE_WAIT)

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
        """Receive and start invocations until the connection fails."""
        # One message at a time: asked for more, the SDK waits 0.2 s for others to come.
        count = self._settings.max_message_batch_size if self._many else 1
        while True:
            await self._slots.acquire()
            received: list[ServiceBusReceivedMessage] = []
            try:
                received = await receiver.receive_messages(count, max_wait_time=_RECEIVE_WAIT)
            finally:
                if not received:
                    self._slots.release()
            if received:
                task = asyncio.get_running_loop().create_task(self._process(receiver, received))
                self._running.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            HOST.error("A message was not settled", exc_info=task.exception())

    async def _process(
        self, receiver: ServiceBusReceiver, received: Sequence[ServiceBusReceivedMessage]
    ) -> None:
        invocation = asyncio.ensure_future(self._invoke(received))
        try:
            if self._many:
                succeeded = await invocation
            else:
                await self._hold_lock(receiver, received[0], invocation)
                succeeded = await invocation
        except asyncio.CancelledError:
            # The host stops. A lock outlives its link, so the message is given back explicitly.
            invocation.cancel()
            await asyncio.wait({invocation})
            for message in received:
                await self._settle(message, receiver.abandon_message, "given back")
            raise
        for message in received:
            if not succeeded:
                await self._settle(message, receiver.abandon_message, "abandoned")
            elif self._settings.auto_complete_messages:
                await self._settle(message, receiver.complete_message, "completed")

    async def _invoke(self, received: Sequence[ServiceBusReceivedMessage]) -> bool:
        """Run the function; False when it failed."""
        first = received[0]
        reason = f"{self.queue}, message {first.message_id}, sequence {first.sequence_number}"
        if self._many:
            reason = f"{self.queue}, {len(received)} messages"
        try:
            value, metadata = self._as_input(received)
            await self._worker.invoke(
                self._function,
                value,
                metadata,
                trace_parent="" if self._many else wire.trace_parent(first),
                reason=reason,
            )
        except InvocationFailed:
            return False
        except wire.UnreadableBody as exc:
            HOST.error("%s was not called (%s): %s", self._function.name, reason, exc)
            return False
        return True

    def _as_input(
        self, received: Sequence[ServiceBusReceivedMessage]
    ) -> tuple[Datum, dict[str, Datum]]:
        if self._many:
            return wire.many(received, self._binary)
        return wire.one(received[0], self._binary)

    async def _hold_lock(
        self,
        receiver: ServiceBusReceiver,
        message: ServiceBusReceivedMessage,
        invocation: asyncio.Future[bool],
    ) -> None:
        """Wait for an invocation and renew the message's lock at half of its time meanwhile."""
        last = time.monotonic() + self._settings.max_auto_lock_renewal
        while not invocation.done():
            until = message.locked_until_utc
            left = (until - datetime.now(UTC)).total_seconds() if until else 60.0
            pause = min(max(left / 2, 0.1), last - time.monotonic())
            if pause <= 0:
                break
            await asyncio.wait({invocation}, timeout=pause)
            if invocation.done() or time.monotonic() >= last:
                break
            try:
                await receiver.renew_message_lock(message)
            except (ServiceBusError, ValueError) as exc:
                HOST.warning(
                    "The lock of message %s cannot be renewed: %s", message.message_id, exc
                )
                break
        await asyncio.wait({invocation})

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
                "Message %s was not %s: its lock was lost, so it comes again",
                message.message_id,
                what,
            )
        except (ServiceBusError, ValueError) as exc:
            HOST.warning(
                "Message %s was not %s (%s), so it comes again", message.message_id, what, exc
            )
