"""Creates the four published flows and watches them become ready: `python -m local.demo`."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from local.access_token import application_token
from local.components import StackError, components
from local.config import ROOT, LocalConfig, LocalConfigError
from local.issuer import IssuerError
from local.settings import SettingsFileError, make_settings_file
from local.stack import Stack, say, short_path

PAYLOADS = ROOT / "shared" / "contract" / "examples"
# In the order of the page that publishes them.
FLOWS = {
    "user": "User flow",
    "class_group": "Class group flow",
    "security_group": "Security group flow",
    "administrative_unit": "Administrative unit flow",
}
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
HEARTBEAT_SECONDS = 2.0
REQUEST_SECONDS = 30.0


class DemoError(Exception):
    """The demo did not end with four ready flows; the text says which step failed."""


@dataclass(frozen=True)
class Answer:
    """The status line and the text of an HTTP response, and when it came (time.monotonic)."""

    status: int
    reason: str
    text: str
    received: float

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; DemoError when it is something else."""
        with contextlib.suppress(ValueError):
            body = json.loads(self.text)
            if isinstance(body, dict):
                return body
        raise DemoError(f"The answer is not a JSON object: {self.text[:200]!r}")


def call(token: str, method: str, url: str, body: bytes | None = None) -> Answer:
    """Send one request, the body byte for byte, and read the answer whatever its status."""
    request = urllib.request.Request(  # noqa: S310 - the address is our own, on loopback
        url,
        method=method,
        data=body,
        headers={"Authorization": f"Bearer {token}"}
        | ({} if body is None else {"Content-Type": "application/json"}),
    )
    # No proxy, whatever the environment says: the stack is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        response = opener.open(request, timeout=REQUEST_SECONDS)
    except urllib.error.HTTPError as error:
        response = error
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"{method} {url} got no answer: {error}") from error
    with response:
        text = response.read().decode("utf-8", errors="replace")
        return Answer(response.status, response.reason or "", text, time.monotonic())


def _show_call(token: str, method: str, url: str, body: bytes, verbose: bool) -> Answer:
    """Send a request; show it with its answer, bodies only if `verbose`."""
    if not verbose:
        answer = call(token, method, url, body)
        say(f"{method} {_short(url)} -> {answer.status} {answer.reason}")
        return answer
    say(f"{method} {url}")
    say("Authorization: Bearer (what `make token` prints)")
    say(f"Content-Type: application/json\n\n{body.decode('utf-8').rstrip()}")
    answer = call(token, method, url, body)
    say(f"\n-> {answer.status} {answer.reason}\n\n{_pretty(answer.text)}")
    return answer


def _short(url: str) -> str:
    """A URL as people write it: without what is the same for all."""
    head, sets, tail = url.partition("outboundProvisioningFlowSets")
    return f"…/{sets}{tail}" if head else url


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text or "(no body)"


def _created(answer: Answer, what: str) -> dict[str, Any]:
    if answer.status == 401:
        raise DemoError(
            "The service that runs there does not accept the tokens of this folder: "
            "it is the stack of another checkout, or of another LOCAL_STATE. "
            "Stop it, or choose other ports for this one (README.md, Commands)."
        )
    if answer.status != 201:
        raise DemoError(f"{what} was not created: the answer is {answer.status}, not 201.")
    return answer.json()


def _await_ready(token: str, url: str, status: str, since: float, deadline: float) -> bool:
    """Poll a flow until it is ready and show when its status changes; False at the deadline."""
    heard = time.monotonic()
    while True:
        answer = call(token, "GET", url)
        if answer.status != 200:
            raise DemoError(f"GET {url} answered {answer.status}: {answer.text[:500]}")
        now = str(answer.json().get("readinessStatus"))
        if now != status:
            milliseconds = (answer.received - since) * 1000
            say(f"  readinessStatus: {status} -> {now} after {milliseconds:.0f} ms")
            status = now
        if status == "ready":
            return True
        if time.monotonic() > deadline:
            return False
        if time.monotonic() - heard > HEARTBEAT_SECONDS:
            heard = time.monotonic()
            say(f"  ... still {status} after {heard - since:.0f} s")
        time.sleep(POLL_SECONDS)


def show_flows(api: str, token: str, verbose: bool) -> None:
    """Create a flow set and the four flows in it; DemoError unless all four become ready."""
    sets = f"{api}/external/industryData/outboundProvisioningFlowSets"
    space = "\n" if verbose else ""
    say(f"\n== A flow set =={space}")
    flow_set = _created(
        _show_call(token, "POST", sets, b'{"displayName": "Contoso schools"}', verbose),
        "The flow set",
    )
    flows = f"{sets}/{flow_set['id']}/provisioningFlows"
    deadline = time.monotonic() + READY_SECONDS
    late = []
    for number, (name, title) in enumerate(FLOWS.items(), start=1):
        say(f"\n== {number}. {title} =={space}")
        body = (PAYLOADS / f"{name}.request.json").read_bytes()
        answer = _show_call(token, "POST", flows, body, verbose)
        flow = _created(answer, title)
        url, status = f"{flows}/{flow['id']}", str(flow["readinessStatus"])
        if verbose:
            say(f"\nGET {url}")
        if not _await_ready(token, url, status, answer.received, deadline):
            late.append(title)
    if late:
        raise DemoError(
            f"Not ready after {READY_SECONDS:.0f} s: {', '.join(late)}. What the functions said "
            "about it is in the host's log."
        )
    say(f"\nAll {len(FLOWS)} flows are ready.")


@contextlib.contextmanager
def _whatever_runs(config: LocalConfig) -> Iterator[None]:
    """Use the stack that answers on the configured ports; start what is missing, stop it after."""
    parts = components(config)
    if parts["host"].healthy():
        say(f"Using the stack that runs at {config.api}.")
        yield
        return
    missing = [name for name, part in parts.items() if not part.healthy()]
    say(make_settings_file())
    with Stack(config, names=missing, say=say):
        yield
        say("`make run` leaves it running. `make demo ARGS=--verbose` shows all bodies.")
        say("Stopping what the demo started ...")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; 0 only when all four flows are ready."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="show the bodies of all requests")
    given = parser.parse_args(arguments)

    def stop(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt  # a SIGTERM stops what we started as a Ctrl-C does

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        config = LocalConfig.read(os.environ)
    except LocalConfigError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        with _whatever_runs(config):
            show_flows(config.api, application_token(config), given.verbose)
    except (IssuerError, SettingsFileError, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    except DemoError as error:
        print(
            f"\n{error}\nThe logs are in {short_path(config.local_state / 'logs')}.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
