"""Asks the running local service for faults: `make faults ARGS="list"` (docs/testing-a-client.md).

load FILE               take the rules of a JSON file in place of those there are
add NAME=VALUE ...      add one rule: add operation=create_provisioning_flow status=429 count=2
list                    print the rules, and how often each was applied
clear                   remove all rules
requests                print what was asked of the service
forget                  forget what was asked so far
time                    print the time of the service, and how far ahead it is
forward DURATION        move it forward: forward P3D, forward PT90M
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.config import LocalConfig, LocalConfigError
from local.faults.reading import RulesError, members_of

SECONDS = 10.0


class CommandError(Exception):
    """The service did not do it; the text says why."""


def _ask(config: LocalConfig, method: str, name: str, body: bytes | None = None) -> Any:
    site = config.api.removesuffix("/beta")
    request = urllib.request.Request(  # noqa: S310 - the loopback address
        f"{site}/local/{name}", body, {"Content-Type": "application/json"}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise CommandError("\n".join(_sentences(error.read()))) from None
    except OSError as error:
        raise CommandError(f"The service does not run at {site}: `make run`. ({error})") from None
    return json.loads(text) if text else None


def _sentences(answer: bytes) -> list[str]:
    try:
        details = json.loads(answer)["error"]["details"]
    except (ValueError, KeyError, TypeError):
        return ["The service answered with an error; what runs there is not `make run`."]
    return [str(each) for each in details]


def _carry_out(config: LocalConfig, given: argparse.Namespace) -> Any:
    match given.what:
        case "load":
            return _ask(config, "PUT", "faults", Path(given.file).read_bytes())
        case "add":
            members = members_of(given.members)
            return _ask(config, "POST", "faults", json.dumps(members).encode())
        case "clear":
            return _ask(config, "DELETE", "faults")
        case "requests":
            return _ask(config, "GET", "requests")
        case "forget":
            return _ask(config, "DELETE", "requests")
        case "time":
            return _ask(config, "GET", "time")
        case "forward":
            body = json.dumps({"forward": given.duration}).encode()
            return _ask(config, "POST", "time", body)
    return _ask(config, "GET", "faults")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    commands.add_parser("load").add_argument("file")
    commands.add_parser("add").add_argument(
        "members",
        nargs="+",
        metavar="NAME=VALUE",
        help="a member of a rule (docs/testing-a-client.md has them), or a status alone",
    )
    commands.add_parser("forward").add_argument("duration", metavar="DURATION")
    for name in ("list", "clear", "requests", "forget", "time"):
        commands.add_parser(name)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; 1 with sentences on stderr where the service does not do it."""
    given = _parser().parse_args(arguments)
    try:
        answer = _carry_out(LocalConfig.read(os.environ), given)
    except (CommandError, LocalConfigError, RulesError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"{exc.filename}: {exc.strerror}", file=sys.stderr)
        return 1
    if answer is not None:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
