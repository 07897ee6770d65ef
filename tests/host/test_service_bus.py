"""Service Bus queue functions under the local host, with the real SDK and the emulator."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

from tests.host.bus import Bus, message, running
from tests.host.host_process import APPS, until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_message_is_what_the_worker_gives(bus: Bus) -> None:
    await bus.send(
        "work",
        message(
            "described",
            "grüße",
            content_type="text/x",
            correlation_id="c",
            subject="s",
            application_properties={"number": 1, "text": "x", "flag": True},
        ),
    )
    (seen,) = await bus.deliveries("described", 1)
    properties = {"number": 1, "text": "x", "flag": True}
    expected = {
        "class": "azure.functions.servicebus.ServiceBusMessage",
        "body": "grüße",
        "count": 1,
        "properties": properties,
        "user properties": properties,
        "content type": "text/x",
        "correlation": "c",
        "subject": "s",
        "label": "s",
        "sequence": "int",
        "zone": "None",
    }
    assert {name: seen[name] for name in expected} == expected


async def test_absent_metadata_is_left_out(bus: Bus) -> None:
    await bus.send("work", message("bare"))
    (seen,) = await bus.deliveries("bare", 1)
    assert seen["properties"] == {}
    assert seen["metadata"] == [
        "ApplicationProperties",
        "DeliveryCount",
        "EnqueuedTime",
        "EnqueuedTimeUtc",
        "ExpiresAt",
        "ExpiresAtUtc",
        "LockToken",
        "MessageId",
        "SequenceNumber",
        "UserProperties",
    ]


async def test_message_of_a_successful_run_is_gone(bus: Bus) -> None:
    await bus.send("work", message("done"))
    await bus.deliveries("done", 1)
    await bus.gone("done")
    assert len(await bus.deliveries("done", 1)) == 1


async def test_failed_message_comes_again_and_ends_as_a_dead_letter(bus: Bus) -> None:
    await bus.send("work", message("poison", "fail"))
    dead = await bus.dead_letter("poison")
    assert [item["count"] for item in await bus.deliveries("poison", 3)] == [1, 2, 3]
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"


async def test_failed_message_comes_again_at_once(bus: Bus) -> None:
    await bus.send("work", message("at once", "fail"))
    times = [item["at"] for item in await bus.deliveries("at once", 3)]
    assert times[2] - times[0] < 1.9  # a lock that had to expire takes 2 s each time


async def test_failed_message_does_not_hold_up_others(bus: Bus) -> None:
    poisonous = [message(f"bad {number}", "fail") for number in range(5)]
    await bus.send("work", *poisonous, message("good"))
    assert len(await bus.deliveries("good", 1)) == 1


async def test_failure_is_logged_with_function_and_message(bus: Bus) -> None:
    await bus.send("work", message("logged failure", "fail with hidden-body"))
    await bus.dead_letter("logged failure")
    lines = [line for line in bus.host.output.splitlines() if "logged failure" in line]
    assert " ERROR work " in lines[0]
    assert "RuntimeError: failed on purpose" in lines[0]
    assert "hidden-body" not in bus.host.output


async def test_lock_is_renewed_while_the_function_runs(bus: Bus) -> None:
    await bus.send("work", message("long", "sleep 3.5"))
    await bus.deliveries("long", 1)
    await until(lambda: "Succeeded (work, message long," in bus.host.output)
    assert len(await bus.deliveries("long", 1)) == 1
    await bus.gone("long")


async def test_no_more_calls_at_once_than_host_json_says(bus: Bus) -> None:
    await bus.send("work", *(message(f"waits {number}", "wait") for number in range(6)))
    await bus.seen_with(lambda found: found["running"]["now"] == 3)
    await bus.release("wait")
    found = await bus.seen_with(
        lambda found: sum(item["body"] == "wait" for item in found["work"]) == 6
    )
    assert found["running"]["most"] == 3


async def test_message_is_settled_while_others_run(bus: Bus) -> None:
    slow = [message(f"slow {number}", "wait for the quick one") for number in range(2)]
    await bus.send("work", *slow)
    await bus.seen_with(lambda found: found["running"]["now"] == 2)
    await bus.send("work", message("quick"))
    await bus.gone("quick")
    assert (await bus.seen())["running"]["now"] == 2
    await bus.release("wait for the quick one")
    await bus.gone("slow 0")
    await bus.gone("slow 1")


async def test_lock_is_renewed_while_others_are_received(bus: Bus) -> None:
    await bus.send("work", message("renewed", "wait for its lock"))
    (first,) = await bus.deliveries("renewed", 1)
    number = 0
    while time.time() < first["at"] + 4.5:  # its lock lasts 2 s
        number += 1
        await bus.send("work", message(f"beside {number}"))
        await bus.deliveries(f"beside {number}", 1)
    await bus.release("wait for its lock")
    await bus.gone("renewed")
    assert len(await bus.deliveries("renewed", 1)) == 1


async def test_functions_do_not_see_what_others_left_in_the_context(bus: Bus) -> None:
    names = [f"context {number}" for number in range(5)]  # more than there are links
    for name in names:
        await bus.send("work", message(name))
    for name in names:
        (seen,) = await bus.deliveries(name, 1)
        assert seen["left behind"] == "nothing"


async def test_receiving_goes_on_after_the_emulator_was_killed(bus: Bus) -> None:
    before = bus.host.output.count("work does not receive")
    await bus.close()  # the SDK leaks the sockets of clients that are open meanwhile
    bus.emulator.kill()
    await until(lambda: bus.host.output.count("work does not receive") > before)
    await bus.emulator.start()
    bus.connect()
    await bus.send("work", message("after the outage"))
    assert len(await bus.deliveries("after the outage", 1)) == 1
    assert bus.host.output.count("work does not receive") == before + 1
    assert bus.host.output.count("work receives from the queue work again") == before + 1


async def test_outage_while_functions_run_is_logged_once_and_they_come_again(bus: Bus) -> None:
    before = bus.host.output.count("work does not receive")
    names = [f"cut off {number}" for number in range(3)]
    await bus.send("work", *(message(name, "wait for the outage") for name in names))
    await bus.seen_with(lambda found: found["running"]["now"] == 3)
    await bus.close()
    bus.emulator.kill()
    await bus.release("wait for the outage")
    await until(lambda: bus.host.output.count("work does not receive") > before)
    await bus.emulator.start()
    bus.connect()
    for name in names:
        assert len(await bus.deliveries(name, 2)) == 2
        await bus.gone(name)
    assert bus.host.output.count("work does not receive") == before + 1


async def test_outage_is_no_flood_of_log_lines(bus: Bus) -> None:
    outages = [line for line in bus.host.output.splitlines() if "azure.servicebus" in line]
    assert outages == []


async def test_unfinished_message_is_released_at_the_end(bus: Bus, tmp_path: Path) -> None:
    drain = ("--drain", "3")
    async with running(tmp_path, bus.emulator, APPS / "bus", "held", *drain) as other:
        held = [message(name, "sleep 60") for name in ("hangs 1", "hangs 2")]
        await other.send("held", message("finishes", "sleep 1"), *held)
        for name in ("hangs 1", "hangs 2", "finishes"):
            await other.deliveries(name, 1)
        assert await other.host.stop() == 0
        assert "Succeeded (held, message finishes," in other.host.output
    async with bus.client.get_queue_receiver("held") as receiver:
        # Their locks would last a minute.
        received = await receiver.receive_messages(2, max_wait_time=20)
        assert {item.message_id for item in received} == {"hangs 1", "hangs 2"}


async def test_message_of_a_worker_that_ended_comes_again_at_once(bus: Bus, tmp_path: Path) -> None:
    async with running(tmp_path, bus.emulator, APPS / "bus", "held") as other:
        await other.send("held", message("killed", "wait for ever"))
        [first] = await other.deliveries("killed", 1)
        os.kill((await other.seen())["running"]["process"], signal.SIGKILL)
        await until(lambda: "The worker process ended" in other.host.output)
        [again] = await other.deliveries("killed", 1)  # the new process has seen nothing else
        assert (first["count"], again["count"]) == (1, 2)
        assert again["at"] - first["at"] < 20  # its lock would last a minute
        await other.release("wait for ever")


async def test_without_auto_complete_the_message_stays(bus: Bus, tmp_path: Path) -> None:
    app = tmp_path / "app"
    shutil.copytree(APPS / "bus", app)
    content = json.loads((app / "host.json").read_text())
    content["extensions"]["serviceBus"] = {"autoCompleteMessages": False}
    (app / "host.json").write_text(json.dumps(content))
    async with running(tmp_path, bus.emulator, app, "unsettled") as other:
        await other.send("unsettled", message("kept"))
        counts = [item["count"] for item in await other.deliveries("kept", 2)]
    assert counts[:2] == [1, 2]
