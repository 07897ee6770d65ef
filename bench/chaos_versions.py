"""The fault run's part about documents and events of the version before."""

from __future__ import annotations

import asyncio
import copy
import json
import time
import uuid
from typing import Any

from azure.servicebus import ServiceBusMessage

from bench.chaos_events import a_report, send_all
from bench.chaos_run import AT_ONCE, DEADLINE_SECONDS, KINDS, Accepted, Run, in_turns
from local.config import ROOT
from shared.domain.context import LOCAL_TENANT
from shared.domain.flows import VERSION

FIRST = json.loads((ROOT / "tests" / "events" / "version_1" / "flow_set.json").read_bytes())
REPORTS_A_FLOW = 3
_HOUR = 3_600_000_000


async def survive_versions(run: Run, count: int) -> None:
    """Store sets of version 1, and have their events of version 1 come amid other writes."""
    began = time.monotonic()
    documents = [_document(run) for _ in range(count)]
    await in_turns(AT_ONCE, (_store(run, each) for each in documents))
    run.named |= {str(each["id"]) for each in documents}
    expected: dict[str, str] = {}
    messages: list[ServiceBusMessage] = []
    for document in documents:
        for name, kind in KINDS.items():
            flow = document["flows"][kind]
            about = Accepted(document["id"], name, flow["id"])
            if flow["readinessStatus"] == "notReady":
                # The timer checks it; a report would say that the engine was quicker.
                expected[flow["id"]] = "ready"
                continue
            reports = [a_report(run.chance, about, flow) for _ in range(REPORTS_A_FLOW)]
            newest = max(reports, key=lambda report: str(report["time"]))
            # The check of this one failed, which outweighs every report.
            checked = kind == KINDS["class_group"]
            expected[flow["id"]] = "failed" if checked else newest["data"]["readinessStatus"]
            messages += [
                ServiceBusMessage(json.dumps(report), message_id=str(uuid.uuid4()))
                for report in reports * 2
            ]
    run.chance.shuffle(messages)
    renames = (_rename(run, document["id"]) for document in documents[::2])
    await asyncio.gather(send_all(run, messages), in_turns(AT_ONCE, renames))
    left = await run.reconcile(time.monotonic() + DEADLINE_SECONDS)
    found = await run.stored()
    lost = sum(flow_id not in found for flow_id in expected)
    wrong = sum(
        found[flow_id]["readinessStatus"] != status
        for flow_id, status in expected.items()
        if flow_id in found
    )
    old = await _of_first(run, [document["id"] for document in documents])
    print(
        f"versions: {count} sets of version 1 with {len(expected)} flows, {len(messages)} events "
        f"of version 1 amid {len(documents[::2])} renames, {time.monotonic() - began:.0f} s\n"
        f"  lost {lost}, stuck {len(left)}, in a wrong state {wrong}, not brought up {old}"
    )
    if lost or left or wrong or old:
        run.faults.append(
            f"of {len(expected)} flows of version 1 {lost} are lost, {len(left)} stuck and "
            f"{wrong} in a wrong state; {old} of {count} sets are of version 1 still"
        )


def _document(run: Run) -> dict[str, Any]:
    """A set of version 1 with ids of its own, made an hour ago."""
    document: dict[str, Any] = copy.deepcopy(FIRST)
    document["id"] = str(uuid.UUID(int=run.chance.getrandbits(128)))
    for flow in document["flows"].values():
        flow["id"] = str(uuid.UUID(int=run.chance.getrandbits(128)))
        _shift(flow, int(time.time() * 1_000_000) - _HOUR - flow["revisedAt"])
    return document


def _shift(stored: dict[str, Any], by: int) -> None:
    """Move every moment of a flow, or of an entry of its history."""
    for name, value in stored.items():
        if name in ("revisedAt", "appliedAt", "askAgainAt", "eventAt") and value:
            stored[name] = value + by
    for entry in stored.get("history", ()):
        if entry is not None:
            _shift(entry, by)


async def _rename(run: Run, set_id: str) -> None:
    async with run.http.patch(run.sets(set_id), data=b'{"displayName": "Renamed"}') as response:
        response.raise_for_status()


async def _of_first(run: Run, set_ids: list[str]) -> int:
    """How many of these sets, each of which was written since, are not of the present version."""
    versions = await in_turns(AT_ONCE, (_version(run, set_id) for set_id in set_ids))
    return sum(version != VERSION for version in versions)


async def _store(run: Run, document: dict[str, Any]) -> None:
    await run.container.create_item({**document, "tenantId": LOCAL_TENANT})


async def _version(run: Run, set_id: str) -> Any:
    return (await run.container.read_item(set_id, LOCAL_TENANT)).get("version")
