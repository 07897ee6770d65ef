"""Microsoft Graph for infra/register_api.py: requests that outlast Entra ID's slow replicas."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

# What was created is known to all of Entra ID's replicas after a minute or two.
PATIENCE_SECONDS = 120.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 16.0
REQUEST_SECONDS = 30.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_PAGES = 100
# How Graph says, with 400 in place of 404, that a replica does not know a new object or permission.
_NOT_YET = (
    "does not exist",
    "does not reference a valid application object",
    "was not found on application",
    "cannot be found",
)


class RegistrationError(Exception):
    """Entra ID or the Azure CLI refused something; the text says what, and why."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: following it would send the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def pauses() -> Iterator[float]:
    """Seconds to wait between tries, without end: they double up to the longest."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


class Graph:
    """Microsoft Graph of the cloud that the Azure CLI is signed in to."""

    def __init__(self, endpoint: str, token: str, patience: float) -> None:
        """`patience`: for how many seconds one request is repeated. Raises RegistrationError."""
        parts = urlsplit(endpoint)
        here = parts.scheme == "http" and parts.hostname == "127.0.0.1"
        if not here and (parts.scheme != "https" or not parts.hostname):
            raise RegistrationError(f"The cloud's address of Microsoft Graph is {endpoint!r}.")
        self.root = f"{endpoint.rstrip('/')}/v1.0"
        self._token = token
        self._patience = patience
        self._opener = urllib.request.build_opener(_NoRedirect)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request and return the answer; raises RegistrationError.

        It is repeated, with growing pauses, while Graph does not know a new object yet or has too
        much to do. Neither has had an effect, so a POST can be repeated too.
        """
        give_up = time.monotonic() + self._patience
        waits = pauses()
        while True:
            status, answer, retry_after = self._send(method, path, body)
            if 200 <= status < 300:
                return answer
            error = answer.get("error")
            said = str(error.get("message")) if isinstance(error, dict) else "no reason given"
            problem = f"{method} {path}: {status}: {said}"
            not_yet = status == 404 or (status == 400 and any(words in said for words in _NOT_YET))
            if not not_yet and status != 429:
                raise RegistrationError(problem)
            pause = max(next(waits), retry_after)
            if time.monotonic() + pause > give_up:
                raise RegistrationError(f"{problem} (after trying for {self._patience:g} seconds)")
            print(f"Trying again in {pause:g} s: {problem}", file=sys.stderr)
            time.sleep(pause)

    def _send(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any], float]:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
            f"{self.root}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            try:
                response = self._opener.open(request, timeout=REQUEST_SECONDS)
            except urllib.error.HTTPError as exc:
                response = exc
            with response:
                text = response.read(MAX_ANSWER_BYTES)
                wait = response.headers.get("Retry-After", "")
        except (OSError, HTTPException) as exc:
            raise RegistrationError(f"{method} {path}: no answer: {exc}") from exc
        try:
            answer = json.loads(text) if text else {}
        except ValueError as exc:
            raise RegistrationError(f"{method} {path}: the answer is not JSON.") from exc
        retry_after = float(wait) if wait.isascii() and wait.isdigit() else 0.0
        return response.status, answer if isinstance(answer, dict) else {}, retry_after

    def every(self, path: str) -> Iterator[dict[str, Any]]:
        """Return each entry of a list, page by page; raises RegistrationError."""
        for _ in range(MAX_PAGES):
            page = self.call("GET", path)
            yield from page["value"]
            link = page.get("@odata.nextLink")
            if link is None:
                return
            if not str(link).startswith(f"{self.root}/"):
                raise RegistrationError(f"GET {path}: the next page is elsewhere: {link}")
            path = str(link).removeprefix(self.root)
        raise RegistrationError(f"GET {path}: more than {MAX_PAGES} pages.")

    def me(self) -> str:
        """Return the object id of the signed-in user; raises RegistrationError for all others."""
        return str(self.call("GET", "/me?$select=id")["id"])


def azure_cli(*words: str) -> str:
    """Return what a command of the Azure CLI prints; raises RegistrationError."""
    az = shutil.which("az")
    if az is None:
        raise RegistrationError("There is no `az` on PATH: install the Azure CLI and run az login.")
    command = [az, *words, "--output", "tsv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode != 0 or not done.stdout.strip():
        raise RegistrationError(f"az {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout.strip()
