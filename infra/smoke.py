#!/usr/bin/env python3
"""Shows that a deployed service works: `python3 infra/smoke.py --url ROOT --audience AUDIENCE`.

It makes a flow set and a flow in it, waits until an event has made the flow ready, and deletes
both. So it passes only if HTTP, tokens, Cosmos DB, Service Bus and the readiness function all work.
Needs Python alone; with --audience it asks the Azure CLI, signed in, for a token.

Exit codes: 0 all is well; 1 the service did not do what it should; 2 the command line is wrong or
there is no token; 3 the service works, but what was made could not be deleted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

OK, BROKEN, USAGE, LEFT_OVER = 0, 1, 2, 3
POLL_SECONDS = 1.0
REQUEST_SECONDS = 60.0
MAX_SHOWN = 500
# The smallest flow that becomes ready, whatever roles and licences a tenant has.
FLOW = {
    "@odata.type": "#microsoft.graph.industryData.administrativeUnitProvisioningFlow",
    "creationOptions": {"createBasedOnOrg": True, "createBasedOnOrgPlusRoleGroup": False},
}


class SmokeError(Exception):
    """The service did not do what it should; the text says which step failed, and how."""


class TokenError(Exception):
    """No token could be had; the text says what to do next."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: following it would send the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Service:
    """The service as one caller sees it."""

    def __init__(self, root: str, token: str) -> None:
        self.sets = f"{root}/external/industryData/outboundProvisioningFlowSets"
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect)

    def call(self, method: str, url: str, body: Any = None, *, expect: int) -> dict[str, Any]:
        """Send one request and return its JSON; raises SmokeError for any other status."""
        request_id = str(uuid.uuid4())
        request = urllib.request.Request(  # noqa: S310 - main() has checked the scheme
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "client-request-id": request_id,
            },
        )
        step = f"{method} {url} (client-request-id {request_id})"
        try:
            response = self._opener.open(request, timeout=REQUEST_SECONDS)
        except urllib.error.HTTPError as exc:
            response = exc
        except (OSError, HTTPException) as exc:
            raise SmokeError(f"{step}: no answer: {exc}") from exc
        with response:
            text = response.read().decode("utf-8", errors="replace")
        if response.status != expect:
            shown = text[:MAX_SHOWN] or "no body; see the failures in Application Insights"
            raise SmokeError(f"{step}: {response.status} and not {expect}: {shown}")
        if not text:
            return {}
        try:
            answer = json.loads(text)
        except ValueError as exc:
            raise SmokeError(f"{step}: the answer is not JSON: {text[:MAX_SHOWN]}") from exc
        if not isinstance(answer, dict):
            raise SmokeError(f"{step}: the answer is not an object: {text[:MAX_SHOWN]}")
        return answer

    def create(self, url: str, body: Any) -> str:
        """Create an entity and return its id."""
        created = self.call("POST", url, body, expect=201)
        if not isinstance(created.get("id"), str):
            raise SmokeError(f"POST {url}: the answer has no id: {json.dumps(created)[:MAX_SHOWN]}")
        return str(created["id"])


def check(service: Service, flows: str, patience: float) -> None:
    """Make a flow and wait until it is ready; raises SmokeError."""
    began = time.monotonic()
    url = f"{flows}/{service.create(flows, FLOW)}"
    print(f"Created a flow in {time.monotonic() - began:.1f} s.")
    status: Any = None
    while time.monotonic() - began < patience:
        status = service.call("GET", url, expect=200).get("readinessStatus")
        if status == "ready":
            print(f"It was ready {time.monotonic() - began:.1f} s after its creation began.")
            return
        if status != "notReady":
            raise SmokeError(f"GET {url}: readinessStatus is {status!r} and not 'ready'.")
        time.sleep(POLL_SECONDS)
    raise SmokeError(
        f"GET {url}: readinessStatus is still {status!r} after {patience:.0f} s. Is the readiness "
        "function running, and are there messages in the queue or its dead-letter queue?"
    )


def run(service: Service, patience: float) -> int:
    """Do everything, and delete what was made whatever happens; returns the exit code."""
    name = f"Smoke test {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"
    try:
        flow_set = f"{service.sets}/{service.create(service.sets, {'displayName': name})}"
    except SmokeError as exc:
        print(exc, file=sys.stderr)
        return BROKEN
    code = OK
    try:
        check(service, f"{flow_set}/provisioningFlows", patience)
    except SmokeError as exc:
        print(exc, file=sys.stderr)
        code = BROKEN
    finally:
        try:
            service.call("DELETE", flow_set, expect=204)
            service.call("GET", flow_set, expect=404)
            print("Deleted what was made.")
        except SmokeError as exc:
            print(f"Delete it by hand: {exc}", file=sys.stderr)
            code = code or LEFT_OVER
    return code


def azure_cli_token(audience: str) -> str:
    """Return a token of the user who is signed in to the Azure CLI; raises TokenError."""
    az = shutil.which("az")
    if az is None:
        raise TokenError("There is no `az` on PATH: install the Azure CLI, or give --token-file.")
    command = [az, "account", "get-access-token", "--resource", audience]
    done = subprocess.run(  # noqa: S603 - no shell, and the audience is one argument
        [*command, "--query", "accessToken", "--output", "tsv"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise TokenError(f"The Azure CLI has no token for {audience}: {done.stderr.strip()}")
    return done.stdout.strip()


def file_token(path: Path) -> str:
    """Return the token in a file; raises TokenError."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeError) as exc:
        raise TokenError(f"The token cannot be read from {path}: {exc}") from exc
    if not token or len(token.split()) != 1:
        raise TokenError(f"{path} must hold one access token and nothing else.")
    return token


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--url", required=True, help="the service root, such as SERVICE_ROOT of azd"
    )
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument("--audience", help="ask the Azure CLI for a token for this, api://CLIENT-ID")
    token.add_argument("--token-file", type=Path, help="a file with an access token")
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds until ready (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    parts = urlsplit(given.url)
    here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if not here and (parts.scheme != "https" or not parts.hostname):
        parser.error(f"--url {given.url!r} must start with https:// (http:// on this machine only)")
    if not 0 < given.patience <= 3600:
        parser.error("--patience must be more than 0 and at most 3600 seconds")
    try:
        held = file_token(given.token_file) if given.token_file else azure_cli_token(given.audience)
    except TokenError as exc:
        print(exc, file=sys.stderr)
        return USAGE
    return run(Service(given.url.rstrip("/"), held), given.patience)


if __name__ == "__main__":
    sys.exit(main())
