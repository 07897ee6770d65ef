"""Reads flows from files, folders and standard input; nothing is sent before all were read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from industrydata.errors import UsageError
from industrydata.session import KINDS
from industrydata.text import clean, short

MAX_BYTES: Final = 1024 * 1024
"""The service reads no longer body."""
MAX_FILES: Final = 1000
_BOM: Final = b"\xef\xbb\xbf"


class FlowFile(NamedTuple):
    """A flow that is to be created: where it was read, its kind, and its bytes."""

    name: str
    kind: str
    body: bytes


def read_flows(paths: Sequence[Path]) -> list[FlowFile]:
    """Read flows, each a JSON object in a file; raises UsageError that lists every fault."""
    found: list[FlowFile] = []
    faults: list[str] = []
    for path in _files(paths):
        try:
            body = read_object(path)
            found.append(FlowFile(_name(path), _kind(path, body), body))
        except UsageError as error:
            faults.append(str(error))
    for kind in KINDS:
        same = [each.name for each in found if each.kind == kind]
        if len(same) > 1:
            faults.append(f"{' and '.join(same)} are both {kind} flows: a set has one of a kind.")
    if faults:
        raise UsageError("\n".join([*faults, "Nothing was sent."]))
    return found


def read_object(path: Path) -> bytes:
    """Return the bytes of a file with a JSON object; raises UsageError."""
    name = _name(path)
    try:
        if _is_stdin(path):
            body = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                body = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from error
    if len(body) > MAX_BYTES:
        raise UsageError(f"{name} is larger than {MAX_BYTES} bytes, which no service takes.")
    body = body.removeprefix(_BOM)
    if not isinstance(_parsed(name, body), dict):
        raise UsageError(f"{name} is not a JSON object.")
    return body


def _parsed(name: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {short(error)}.") from error
    except RecursionError:
        raise UsageError(f"{name} is nested too deep.") from None


def _kind(path: Path, body: bytes) -> str:
    named = json.loads(body).get("@odata.type")
    kind = clean(named).rpartition(".")[2].removesuffix("ProvisioningFlow")
    for each in KINDS:
        if kind.lower() == each.lower():
            return each
    raise UsageError(
        f"{_name(path)} is not a flow: its @odata.type is {short(json.dumps(named))}, and not "
        f"#microsoft.graph.industryData.KINDProvisioningFlow, KIND one of {', '.join(KINDS)}."
    )


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if _is_stdin(path) or not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix == ".json")
        if not inside:
            raise UsageError(f"The folder {path} has no file that ends with .json.")
        found += inside
    if len(found) > MAX_FILES:
        raise UsageError(f"These are {len(found)} files: give at most {MAX_FILES}.")
    if sum(map(_is_stdin, found)) > 1:
        raise UsageError("Standard input can be read once: give one -.")
    return found


def _is_stdin(path: Path) -> bool:
    return str(path) == "-"


def _name(path: Path) -> str:
    return "standard input" if _is_stdin(path) else str(path)
