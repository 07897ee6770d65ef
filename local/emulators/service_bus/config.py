"""Reads the queue file, which has the format of the official emulator's Config.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .queues import QueueOptions

_DURATION = re.compile(
    r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,7})?)S)?)?"
)
_UNITS = (7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?")

# The most the official emulator takes: the same file is mounted into it.
_LONGEST = {
    "LockDuration": "PT5M",
    "DefaultMessageTimeToLive": "PT1H",
    "DuplicateDetectionHistoryTimeWindow": "PT5M",
}
_MOST_DELIVERIES = 10
_DEFAULTS: dict[str, Any] = {
    "DeadLetteringOnMessageExpiration": False,
    "DefaultMessageTimeToLive": "PT1H",
    "DuplicateDetectionHistoryTimeWindow": "PT1M",
    "ForwardDeadLetteredMessagesTo": "",
    "ForwardTo": "",
    "LockDuration": "PT1M",
    "MaxDeliveryCount": 10,
    "RequiresDuplicateDetection": False,
    "RequiresSession": False,
}


class QueueFileError(Exception):
    """The queue file cannot be used; the text has one line for each fault."""


def read_queues(path: Path) -> dict[str, QueueOptions]:
    """The queues in the file by name; QueueFileError lists every fault at once."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as exc:
        raise QueueFileError(f"{path} cannot be read: {exc.strerror}.") from exc
    except (ValueError, RecursionError) as exc:
        raise QueueFileError(f"{path} is not JSON: {exc}.") from exc
    faults: list[str] = []
    queues = _queues(document, faults)
    if faults:
        raise QueueFileError("\n".join(f"{path}: {fault}" for fault in faults))
    return queues


def duration(text: object) -> int | None:
    """Milliseconds of an ISO 8601 duration such as PT1M30S; None if it is none."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or not any(found.groups()) or found.group().endswith("T"):
        return None
    parts = zip(found.groups(), _UNITS, strict=True)
    return round(sum(float(number or 0) * unit for number, unit in parts))


def _queues(document: Any, faults: list[str]) -> dict[str, QueueOptions]:
    user_config = document.get("UserConfig") if isinstance(document, dict) else None
    namespaces = user_config.get("Namespaces") if isinstance(user_config, dict) else None
    if not isinstance(namespaces, list) or len(namespaces) != 1:
        faults.append("UserConfig.Namespaces must be a list of one namespace.")
        return {}
    namespace = namespaces[0]
    if not isinstance(namespace, dict) or not isinstance(namespace.get("Queues"), list):
        faults.append("UserConfig.Namespaces[0].Queues must be a list of queues.")
        return {}
    if namespace.get("Topics"):
        faults.append("Topics must be empty: this emulator has queues only.")
    queues: dict[str, QueueOptions] = {}
    for index, queue in enumerate(namespace["Queues"]):
        name = queue.get("Name") if isinstance(queue, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            faults.append(
                f"Queues[{index}].Name must be 1 to 260 letters, digits, '.', '-', '_' or '/',"
                " with a letter or digit at both ends."
            )
            continue
        if name.lower() in (known.lower() for known in queues):
            faults.append(f"Queue {name} is there twice: names match in any case.")
        unknown = sorted(queue.keys() - {"Name", "Properties"})
        if unknown:
            faults.append(f"Queue {name} has unknown members: {', '.join(unknown)}.")
        queues[name] = _options(name, queue.get("Properties", {}), faults)
    if not queues and not faults:
        faults.append("Queues is empty: name at least one queue.")
    return queues


def _options(name: str, given: Any, faults: list[str]) -> QueueOptions:
    before = len(faults)
    if not isinstance(given, dict):
        faults.append(f"Queue {name}: Properties must be an object.")
        return QueueOptions()
    for key in sorted(given.keys() - _DEFAULTS.keys()):
        faults.append(f"Queue {name}: {key} is not a property of a queue.")
    values = _DEFAULTS | given
    times: dict[str, int] = {}
    for key, longest in _LONGEST.items():
        milliseconds = duration(values[key])
        if milliseconds is None or not 0 < milliseconds <= (duration(longest) or 0):
            faults.append(
                f"Queue {name}: {key} must be an ISO 8601 duration over zero and up to {longest}"
                f" (as in the official emulator), not {values[key]!r}."
            )
        else:
            times[key] = milliseconds
    deliveries = values["MaxDeliveryCount"]
    if type(deliveries) is not int or not 1 <= deliveries <= _MOST_DELIVERIES:
        faults.append(
            f"Queue {name}: MaxDeliveryCount must be a number from 1 to {_MOST_DELIVERIES}"
            f" (as in the official emulator), not {deliveries!r}."
        )
    for key, default in _DEFAULTS.items():
        if isinstance(default, bool) and not isinstance(values[key], bool):
            faults.append(f"Queue {name}: {key} must be true or false, not {values[key]!r}.")
    if values["RequiresSession"] is True:
        faults.append(f"Queue {name}: RequiresSession must be false: sessions are not built.")
    for key in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if values[key] not in ("", None):
            faults.append(f"Queue {name}: {key} must be empty: forwarding is not built.")
    if len(faults) > before:
        return QueueOptions()
    window = times["DuplicateDetectionHistoryTimeWindow"]
    return QueueOptions(
        lock=times["LockDuration"],
        max_delivery_count=deliveries,
        ttl=times["DefaultMessageTimeToLive"],
        dead_letter_expired=values["DeadLetteringOnMessageExpiration"],
        duplicate_window=window if values["RequiresDuplicateDetection"] else None,
    )
