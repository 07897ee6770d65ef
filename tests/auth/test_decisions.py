"""Who may do what: the table, through the running service, with tokens of the local issuer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from local.stack import Stack
from shared.domain.permissions import (
    DEFINITION_READ,
    DEFINITION_WRITE,
    FLOW_READ,
    FLOW_WRITE,
    PASSWORD_READ_ROLE,
    READ_BASIC,
)
from tests.support.api import UNKNOWN, Api, assert_envelope

SECONDS = 30.0
NO_ONE: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A token, by the names in it, and which operations are open to it."""

    name: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    opens: tuple[str, ...]


OPERATIONS = {
    "read flows": ("GET", "outboundProvisioningFlowSets"),
    "write flows": ("DELETE", f"outboundProvisioningFlowSets/{UNKNOWN}"),
    "list definitions": ("GET", "referenceDefinitions"),
    "read definitions": ("GET", f"referenceDefinitions/{UNKNOWN}"),
    "write definitions": ("DELETE", f"referenceDefinitions/{UNKNOWN}"),
    "write role groups": ("DELETE", f"roleGroups/{UNKNOWN}"),
    "read passwords": (
        "POST",
        f"outboundProvisioningFlowSets/{UNKNOWN}/provisioningFlows/{UNKNOWN}/readPasswords",
    ),
}
FLOWS = ("read flows", "write flows")
DEFINITIONS = ("list definitions", "read definitions", "write definitions", "write role groups")

CASES = [
    # An application's own token: its roles alone count.
    Case("application that reads flows", (), (FLOW_READ,), ("read flows",)),
    Case("application that writes flows", (), (FLOW_WRITE,), FLOWS),
    Case("application that lists", (), (READ_BASIC,), ("list definitions",)),
    Case("application that reads definitions", (), (DEFINITION_READ,), DEFINITIONS[:2]),
    Case("application that writes definitions", (), (DEFINITION_WRITE,), DEFINITIONS),
    Case("application that reads passwords", (), (PASSWORD_READ_ROLE,), ("read passwords",)),
    Case("application with another role", (), ("Other",), NO_ONE),
    # A user's client: a scope reads; writing needs the user's role beside the scope.
    Case("client that reads flows", (FLOW_READ,), (), ("read flows",)),
    Case("client that writes flows, user without a role", (FLOW_WRITE,), (), ("read flows",)),
    Case("client that writes flows, user who reads", (FLOW_WRITE,), (FLOW_READ,), ("read flows",)),
    Case("client that writes flows, user who does", (FLOW_WRITE,), (FLOW_WRITE,), FLOWS),
    Case("client that reads flows, user who writes", (FLOW_READ,), (FLOW_WRITE,), ("read flows",)),
    Case("client of nothing, user who writes", ("openid",), (FLOW_WRITE,), NO_ONE),
    Case("client that lists", (READ_BASIC,), (), ("list definitions",)),
    Case("client that writes definitions, no role", (DEFINITION_WRITE,), (), DEFINITIONS[:2]),
    Case(
        "client that writes definitions, user who writes flows",
        (DEFINITION_WRITE,),
        (FLOW_WRITE,),
        DEFINITIONS[:2],
    ),
    Case(
        "client that writes definitions, user who does",
        (DEFINITION_WRITE,),
        (DEFINITION_WRITE,),
        DEFINITIONS,
    ),
    Case(
        "client that writes all, user who writes flows",
        (FLOW_WRITE, DEFINITION_WRITE),
        (FLOW_WRITE,),
        (*FLOWS, *DEFINITIONS[:2]),
    ),
    Case(
        "client and user with the name of the password role",
        (PASSWORD_READ_ROLE,),
        (PASSWORD_READ_ROLE,),
        NO_ONE,
    ),
]


@pytest.fixture(scope="module")
async def anyone(api: str) -> AsyncIterator[Api]:
    """The service for a client that sends no token of its own."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, api)


def printed_token(stack: Stack, case: Case) -> str:
    """What `make token` prints for these scopes and roles."""
    command = [sys.executable, "-m", "local.access_token", "--authority", stack.config.issuer]
    command += ["--state", str(stack.config.local_state / "issuer")]
    for option, names in (("--scopes", case.scopes), ("--roles", case.roles)):
        command += [option, *names] if names else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env=dict(os.environ), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_token_opens_these_operations_and_no_other(
    anyone: Api, stack: Stack, case: Case
) -> None:
    token = printed_token(stack, case)
    opened = set()
    for name, (method, path) in OPERATIONS.items():
        answer = await anyone.send(
            method, f"{anyone.industry_data}/{path}", authorization=f"Bearer {token}"
        )
        if answer.status in (200, 404):
            opened.add(name)
        else:
            assert_envelope(answer, 403, "Authorization_RequestDenied")

    assert opened == set(case.opens)
