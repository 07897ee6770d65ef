"""Asks the running app whether it can work."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

from local.config import HOST

# The first request loads the SDKs.
SECONDS = 15.0
PENDING = "(pending)"


def troubles(port: int) -> list[str]:
    """Return a sentence for each part that the app on this port cannot work with; none if it can.

    Raises nothing: where the app does not answer, that is the sentence.
    """
    ends = time.monotonic() + SECONDS
    found = _troubles(port)
    while any(PENDING in each for each in found) and time.monotonic() < ends:
        time.sleep(0.2)
        found = _troubles(port)
    return found


def _troubles(port: int) -> list[str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=SECONDS) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError as error:
        return [f"The app does not answer GET /health: {error}"]
    try:
        dependencies = json.loads(body)["dependencies"]
        return [
            f"{name} ({found['status']}): {found['message']}"
            for name, found in dependencies.items()
            if found["status"] != "available"
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["The app answers GET /health with something else; the log says why."]
