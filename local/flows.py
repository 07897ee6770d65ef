"""Daily work with flow sets and flows, over the API: `python -m local.flows COMMAND`.

INDUSTRY_DATA_URL is the service root (such as https://HOST/beta) and INDUSTRY_DATA_TOKEN an access
token for it; without the first, it is the local stack, for which the command makes its own token.
Exit codes: 0 done (and every flow ready, where that is waited for), 1 refused or not ready, 2 used
in a wrong way, 130 interrupted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from local.access_token import application_token
from local.config import LocalConfig, LocalConfigError
from local.issuer import IssuerError

DONE, FAILED, WRONG = 0, 1, 2
INTERRUPTED = 130
URL = "INDUSTRY_DATA_URL"
TOKEN = "INDUSTRY_DATA_TOKEN"  # noqa: S105 - the name of a variable
SETS = "/external/industryData/outboundProvisioningFlowSets"
REQUEST_SECONDS = 30.0
POLL_SECONDS = 0.5
WATCH_SECONDS = 300.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_COLOURS = {"ready": "32", "notReady": "33", "failed": "31", "expired": "35", "disabled": "90"}


class UsageError(Exception):
    """The command, a file or the environment is wrong; the text says what to change."""


class RefusedError(Exception):
    """The service refused a request or did not answer; the text says why."""


class NotReadyError(Exception):
    """A flow did not become ready; the text says which and why."""


# --- the service -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """The API at `root`, called with a token."""

    root: str
    token: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Service:
        """Find the service by the environment; raises UsageError."""
        root = environ.get(URL, "").strip().rstrip("/")
        token = environ.get(TOKEN, "").strip()
        if root:
            parts = urllib.parse.urlsplit(root)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UsageError(f"{URL}={root!r} is no URL: give one as https://HOST/beta.")
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                raise UsageError(f"{URL} must use https: the token would be readable on its way.")
            if not token:
                raise UsageError(f"Set {TOKEN} to an access token for {root}.")
            return cls(root, token)
        try:
            config = LocalConfig.read(environ)
            return cls(config.api, token or application_token(config))
        except (IssuerError, LocalConfigError) as error:
            raise UsageError(str(error)) from error

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Send a request to a path below the root; raises RefusedError."""
        url = self.root + path
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, method=method, data=body, headers=headers)  # noqa: S310 - Service.read saw to the scheme
        handlers = []
        if urllib.parse.urlsplit(url).hostname in _LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(
                request, timeout=REQUEST_SECONDS
            ) as response:
                answer = json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(_reason(error.code, error.read())) from error
        except (OSError, http.client.HTTPException) as error:
            start = "" if os.environ.get(URL) else " Start the local stack: make run."
            raise RefusedError(f"{self.root} does not answer: {error}.{start}") from error
        except ValueError as error:
            raise RefusedError(f"{url} did not answer JSON: is that the API?") from error
        if not isinstance(answer, dict):
            raise RefusedError(f"{url} did not answer a JSON object: is that the API?")
        return answer

    def flow_sets(self, search: str | None) -> Iterator[dict[str, Any]]:
        """Yield flow sets with their flows, by name, page after page."""
        query = {"$expand": "provisioningFlows", "$orderby": "displayName"}
        if search is not None:
            escaped = search.replace("\\", "\\\\").replace('"', '\\"')
            query["$search"] = f'"{escaped}"'
        path: str | None = f"{SETS}?{urllib.parse.urlencode(query)}"
        while path is not None:
            page = self.call("GET", path)
            yield from page["value"]
            link = page.get("@odata.nextLink")
            # Only its query: behind a proxy the service may not know the address it is called at.
            path = None if link is None else f"{SETS}?{urllib.parse.urlsplit(link).query}"

    def flows(self, set_id: str) -> list[dict[str, Any]]:
        """Return the flows of a set."""
        found: list[dict[str, Any]] = self.call("GET", _flows_path(set_id))["value"]
        return found

    def history(self, set_id: str, flow_id: str) -> list[dict[str, Any]]:
        """Return what happened to a flow's readiness, newest first."""
        path = f"{_flows_path(set_id)}/{_quoted(flow_id)}/readinessHistory"
        found: list[dict[str, Any]] = self.call("GET", path)["value"]
        return found


def _flows_path(set_id: str) -> str:
    return f"{SETS}/{_quoted(set_id)}/provisioningFlows"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _reason(status: int, body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        lines = [f"{error['message']} ({status} {error['code']})"]
        lines += [f"  {each.get('target')}: {each['message']}" for each in error.get("details", [])]
    except (ValueError, LookupError, TypeError):
        return f"The service answered {status} without saying why; its log may say more."
    return "\n".join(lines)


# --- output ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """Where results go: text for people, in colour on a terminal, or JSON, a value a line."""

    stream: TextIO
    as_json: bool

    @property
    def is_rich(self) -> bool:
        """Whether somebody looks at it who sees colours."""
        return not self.as_json and self.stream.isatty() and "NO_COLOR" not in os.environ

    def value(self, value: Any, text: str) -> None:
        """Write a result in the form that was asked for."""
        print(json.dumps(value, ensure_ascii=False) if self.as_json else text, file=self.stream)

    def status(self, status: str, width: int = 0) -> str:
        """A status, in colour where that is seen."""
        padded = status.ljust(width)
        if not self.is_rich:
            return padded
        return f"\x1b[{_COLOURS.get(status, '0')}m{padded}\x1b[0m"

    def progress(self, text: str) -> None:
        """Show a line in the place of the last; nothing where nobody looks."""
        if self.is_rich:
            print(f"\r\x1b[2K{text}", end="", file=self.stream, flush=True)


def _kind(flow: Mapping[str, Any]) -> str:
    """Name a flow's kind in short: userProvisioningFlow is user."""
    name = str(flow["@odata.type"]).rpartition(".")[2]
    return name.removesuffix("ProvisioningFlow")


def _flow_row(flow: Mapping[str, Any], output: Output) -> str:
    status = output.status(flow["readinessStatus"], 10)
    return f"  {_kind(flow):<20} {status} {flow['id']}"


# --- commands ----------------------------------------------------------------------------------


def _list(service: Service, output: Output, given: argparse.Namespace) -> int:
    number = 0
    for flow_set in service.flow_sets(given.search):
        flows = flow_set["provisioningFlows"]
        if given.status and all(flow["readinessStatus"] != given.status for flow in flows):
            continue
        number += 1
        rows = [_flow_row(flow, output) for flow in flows] or ["  (no flows)"]
        output.value(flow_set, "\n".join([f"{flow_set['displayName']}  {flow_set['id']}", *rows]))
    if not number and not output.as_json:
        print("There is no such flow set.", file=output.stream)
    return DONE


def _history(service: Service, output: Output, given: argparse.Namespace) -> int:
    for entry in service.history(given.set, given.flow):
        status = output.status(entry["readinessStatus"], 10)
        output.value(entry, f"{entry['appliedDateTime']:<29} {status} {entry['reason'] or ''}")
    return DONE


def _create_set(service: Service, output: Output, given: argparse.Namespace) -> int:
    created = _new_set(service, given.name)
    output.value(created, created["id"])
    return DONE


def _create(service: Service, output: Output, given: argparse.Namespace) -> int:
    # All files are read before anything is created.
    bodies = [_read(name) for name in given.files]
    set_id = given.set
    if given.new_set is not None:
        created_set = _new_set(service, given.new_set)
        set_id = created_set["id"]
        output.value(created_set, f"Created flow set {set_id}.")
    ids = []
    for name, body in zip(given.files, bodies, strict=True):
        try:
            flow = service.call("POST", _flows_path(set_id), body)
        except RefusedError as error:
            raise RefusedError(f"{name}: {error}") from error
        ids.append(flow["id"])
        output.value(flow, f"Created {_kind(flow)} flow {flow['id']} from {name}.")
    if given.watch:
        return _until_ready(service, output, set_id, ids, given.timeout)
    return DONE


def _watch(service: Service, output: Output, given: argparse.Namespace) -> int:
    return _until_ready(service, output, given.set, given.flows, given.timeout)


def _new_set(service: Service, name: str) -> dict[str, Any]:
    return service.call("POST", SETS, json.dumps({"displayName": name}).encode())


def _read(name: str) -> bytes:
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        json.loads(text)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}.") from error
    return text


def _until_ready(
    service: Service, output: Output, set_id: str, wanted: Sequence[str], seconds: float
) -> int:
    """Show each change until all flows are ready or one cannot be; raises NotReadyError."""
    began = time.monotonic()
    seen: dict[str, str] = {}
    while True:
        flows = {flow["id"]: flow for flow in service.flows(set_id)}
        if missing := [flow_id for flow_id in wanted if flow_id.lower() not in flows]:
            raise NotReadyError(f"Flow set {set_id} has no flow {', '.join(missing)}.")
        if not flows:
            raise NotReadyError(f"Flow set {set_id} has no flows.")
        watched = [flows[flow_id.lower()] for flow_id in wanted] or list(flows.values())
        elapsed = time.monotonic() - began
        for flow in watched:
            if seen.get(flow["id"]) != flow["readinessStatus"]:
                seen[flow["id"]] = flow["readinessStatus"]
                output.progress("")
                output.value(flow, f"{_flow_row(flow, output)}  after {elapsed:.1f} s")
        waiting = [flow for flow in watched if flow["readinessStatus"] == "notReady"]
        if not waiting:
            break
        if elapsed > seconds:
            output.progress("")
            names = ", ".join(_kind(flow) for flow in waiting)
            raise NotReadyError(f"Not ready after {seconds:g} s: {names}.")
        output.progress(f"{len(watched) - len(waiting)} of {len(watched)} checked, {elapsed:.0f} s")
        time.sleep(POLL_SECONDS)
    output.progress("")
    unable = [flow for flow in watched if flow["readinessStatus"] != "ready"]
    if unable:
        raise NotReadyError("\n".join(_why(service, set_id, flow) for flow in unable))
    return DONE


def _why(service: Service, set_id: str, flow: Mapping[str, Any]) -> str:
    reason = next(
        (
            entry["reason"]
            for entry in service.history(set_id, flow["id"])
            if entry["readinessStatus"] == flow["readinessStatus"]
        ),
        None,
    )
    return f"{_kind(flow)} is {flow['readinessStatus']}: {reason or 'no reason was given.'}"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 24 * 3600:
        raise ValueError
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.flows",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON value a line")
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument(
        "--timeout",
        type=_seconds,
        default=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for readiness (default: {WATCH_SECONDS:g})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str,
        run: Callable[[Service, Output, argparse.Namespace], int],
        text: str,
        *parents: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common, *parents])
        added.set_defaults(run=run)
        return added

    listing = command("list", _list, "List flow sets and their flows.")
    listing.add_argument("--search", metavar="TEXT", help="only sets whose name has this text")
    listing.add_argument("--status", choices=sorted(_COLOURS), help="only sets with such a flow")
    creating = command("create", _create, "Create flows, each from a file of JSON.", waiting)
    creating.add_argument("files", nargs="+", metavar="FILE", help="a flow; - is standard input")
    where = creating.add_mutually_exclusive_group(required=True)
    where.add_argument("--set", metavar="ID", help="the flow set to create them in")
    where.add_argument("--new-set", metavar="NAME", help="create a flow set of that name for them")
    creating.add_argument("--watch", action="store_true", help="wait until they are ready")
    new_set = command("create-set", _create_set, "Create an empty flow set and print its id.")
    new_set.add_argument("name", metavar="NAME")
    watching = command("watch", _watch, "Wait until flows are ready; 1 if one is not.", waiting)
    watching.add_argument("set", metavar="SET", help="the flow set's id")
    watching.add_argument("flows", nargs="*", metavar="FLOW", help="ids (default: all of the set)")
    history = command("history", _history, "Show what happened to a flow's readiness.")
    history.add_argument("set", metavar="SET")
    history.add_argument("flow", metavar="FLOW")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; see the module for the exit codes."""
    given = _parser().parse_args(arguments)
    output = Output(sys.stdout, given.json)
    try:
        code: int = given.run(Service.read(os.environ), output, given)
    except UsageError as error:
        print(error, file=sys.stderr)
        return WRONG
    except (RefusedError, NotReadyError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        output.progress("")
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
