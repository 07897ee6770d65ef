"""Sends events to the readiness queue, as a provisioning engine does.

The libraries for Service Bus are an extra of this package: nothing else needs them.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from industrydata.errors import SignInError, UnreachableError, UsageError
from industrydata.target import Target
from industrydata.text import short

SOURCE: Final = "/industryData/operator"
_TYPE: Final = "industryData.provisioningFlow.readinessReported"
_CONTENT_TYPE: Final = "application/cloudevents+json"
_SECONDS: Final = 20.0
_PATIENCE_SECONDS: Final = 30.0


class Event(NamedTuple):
    """An event as it is sent: its id, its time, and its bytes."""

    id: str
    time: datetime
    body: bytes


def reported(
    set_id: str,
    flow: Mapping[str, Any],
    status: str,
    reason: str | None,
    revision: int | None,
    *,
    tenant: str | None,
    ahead: timedelta,
) -> Event:
    """Make the event that reports a flow's status; docs/provisioning-engine.md describes it.

    `tenant` is whose flow it is, None where that is not known. The event's time is by a clock that
    is so far ahead: behind the service's, it would be outweighed.
    """
    event_id, now = str(uuid.uuid4()), datetime.now(UTC) + ahead
    flow_id = str(flow.get("id"))
    data = {
        "flowSetId": set_id,
        "flowId": flow_id,
        "kind": str(flow.get("@odata.type")).rpartition(".")[2],
        "readinessStatus": status,
        "revision": revision,
        "reason": reason,
    }
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": _TYPE,
        "subject": f"outboundProvisioningFlowSets/{set_id}/provisioningFlows/{flow_id}",
        "time": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        **({"tenantid": tenant} if tenant is not None else {}),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    return Event(event_id, now, json.dumps(event, ensure_ascii=False).encode())


def send(target: Target, event: Event) -> None:
    """Put an event on the queue within half a minute; raises UsageError, SignInError or
    UnreachableError.
    """
    raised: list[BaseException] = []

    def sending() -> None:
        try:
            _send(target, event)
        except BaseException as error:
            raised.append(error)

    # The SDK waits minutes for a server that takes a connection and says nothing.
    thread = threading.Thread(target=sending, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise UnreachableError(
            f"The queue '{target.queue}' did not answer within {_PATIENCE_SECONDS:.0f} s."
            f"{target.start_hint}"
        )


def _send(target: Target, event: Event) -> None:
    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.servicebus import ServiceBusClient, ServiceBusMessage
        from azure.servicebus.exceptions import (
            ServiceBusAuthenticationError,
            ServiceBusAuthorizationError,
            ServiceBusError,
        )
    except ImportError as error:
        raise UsageError(
            "Reports go over Service Bus, for which this installation lacks the libraries: "
            "`pipx install --force './cli[report]'` brings them."
        ) from error
    # What matters of what the SDK logs, it raises as well.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    message = ServiceBusMessage(event.body, message_id=event.id, content_type=_CONTENT_TYPE)
    try:
        with (
            _client(ServiceBusClient, target) as client,
            client.get_queue_sender(target.queue) as sender,
        ):
            sender.send_messages(message, timeout=_SECONDS)
    except (
        ClientAuthenticationError,
        ServiceBusAuthenticationError,
        ServiceBusAuthorizationError,
    ) as error:
        raise SignInError(
            "Service Bus does not let you send: sign in by `az login`, with the role Azure Service "
            f"Bus Data Sender on the queue '{target.queue}'. {short(error)}"
        ) from error
    except (ServiceBusError, ValueError, OSError) as error:
        raise UnreachableError(
            f"The queue '{target.queue}' was not reached: {short(error)}.{target.start_hint}"
        ) from error


def _client(make: Any, target: Target) -> Any:
    """Return a client of the SDK for the emulator or for a namespace in Azure."""
    patience = {"retry_total": 1, "retry_backoff_factor": 0.2}
    if target.service_bus is None:
        raise UsageError(
            "Set ServiceBus__fullyQualifiedNamespace to the host name of the Service Bus "
            "namespace, as `azd env get-values` prints it."
        )
    if target.is_local:
        return make.from_connection_string(target.service_bus, **patience)
    from azure.identity import DefaultAzureCredential

    return make(target.service_bus, DefaultAzureCredential(), **patience)
