"""Service Bus functions that report what they were given over HTTP."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import json
import os
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

#: what each function was given, in order
seen: dict[str, list[dict[str, object]]] = {
    "work": [],
    "batch": [],
    "keep": [],
}
running = {"now": 0, "most": 0, "process": os.getpid()}
#: what lets functions go that wait, by a name
released: dict[str, asyncio.Event] = collections.defaultdict(asyncio.Event)
left_behind = contextvars.ContextVar("left_behind", default="nothing")


def describe(msg: func.ServiceBusMessage) -> dict[str, object]:
    enqueued = msg.enqueued_time_utc
    return {
        "class": f"{type(msg).__module__}.{type(msg).__name__}",
        "body": msg.get_body().decode(),
        "id": msg.message_id,
        "count": msg.delivery_count,
        "properties": msg.application_properties,
        "user properties": msg.user_properties,
        "content type": msg.content_type,
        "correlation": msg.correlation_id,
        "subject": msg.subject,
        "label": msg.label,
        "sequence": type(msg.sequence_number).__name__,
        "zone": str(enqueued.tzinfo) if enqueued else "missing",
        "lock": msg.lock_token,
        "metadata": sorted(msg.metadata or {}),
    }


@app.service_bus_queue_trigger(arg_name="msg", queue_name="%WORK_QUEUE%", connection="ServiceBus")
async def work(msg: func.ServiceBusMessage) -> None:
    """Does what the body says."""
    seen["work"].append(
        describe(msg)
        | {
            "at": time.time(),
            "left behind": left_behind.get(),
        }
    )
    left_behind.set(str(msg.message_id))
    running["now"] += 1
    running["most"] = max(running["most"], running["now"])
    try:
        order = msg.get_body().decode()
        if order.startswith("fail"):
            raise RuntimeError("failed on purpose")
        if order.startswith("wait"):
            await asyncio.wait_for(released[order].wait(), 60)
        if order.startswith("sleep"):
            await asyncio.sleep(float(order.split()[1]))
    finally:
        running["now"] -= 1


@app.service_bus_queue_trigger(arg_name="msg", queue_name="kept", connection="ServiceBus")
async def keep(msg: func.ServiceBusMessage) -> None:
    seen["keep"].append(describe(msg))


@app.route("seen", methods=["GET"])
async def get_seen(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({**seen, "running": running}), mimetype="application/json")


@app.route("release", methods=["POST"])
async def post_release(req: func.HttpRequest) -> func.HttpResponse:
    """Lets those go that wait with this order."""
    released[req.get_body().decode()].set()
    return func.HttpResponse("")
