"""The published request bodies."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
NAMES = ("administrative_unit", "class_group", "security_group", "user")


def request_body(name: str) -> bytes:
    """A published request body, byte for byte."""
    return (PAYLOADS / f"{name}.request.json").read_bytes()


def bound_to(group_id: str) -> bytes:
    """A user flow for one role group."""
    body = json.loads(request_body("user"))
    [entry, *_] = body["creationOptions"]["configurations"]
    entry["roleGroup@odata.bind"] = (
        f"https://graph.microsoft.com/beta/external/industryData/roleGroups/{group_id}"
    )
    entry["defaultPasswordSettings"]["password"] = secrets.token_urlsafe(12)
    body["creationOptions"]["configurations"] = [entry]
    return json.dumps(body).encode()
