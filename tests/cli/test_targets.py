"""Which service `industrydata` works on, with which token, and what it says where that fails."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from local.access_token import READ, application_token
from local.components import free_ports
from local.config import ROOT, LocalConfig
from local.stack import Stack
from tests.cli.conftest import Command
from tests.support.api import UNKNOWN

INFRA = ROOT / "infra"
HOSTED = "https://contoso.example/beta"


@pytest.fixture(scope="module")
def without_token(environ: dict[str, str]) -> Command:
    """The command in an environment without a token of its own."""
    return Command(environ)


def program(folder: Path, name: str, script: str) -> str:
    """A program of that name, written in sh; return a PATH on which it is found first."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return f"{folder}:{os.environ['PATH']}"


def test_in_a_checkout_it_uses_the_local_stack_with_a_token_made_there(
    without_token: Command, cli_set: str
) -> None:
    assert cli_set in without_token.ok("sets", "list", "--json").out


def test_below_a_checkout_too(without_token: Command, cli_set: str) -> None:
    ran = without_token.run("sets", "show", cli_set, cwd=ROOT / "docs")
    assert (ran.code, ran.err) == (0, "")


def test_outside_a_checkout_the_local_service_needs_a_token_that_is_given(
    without_token: Command, tmp_path: Path, token: str, cli_set: str
) -> None:
    ran = without_token.run("sets", "list", cwd=tmp_path)
    assert (ran.code, ran.out) == (3, "")
    assert "set INDUSTRYDATA_TOKEN to what `make -s token` prints" in ran.err
    given = without_token.run("sets", "show", cli_set, cwd=tmp_path, INDUSTRYDATA_TOKEN=token)
    assert (given.code, given.err) == (0, "")


def test_a_token_of_another_issuer_is_explained(
    without_token: Command, stack: Stack, tmp_path: Path
) -> None:
    ran = without_token.run("sets", "list", LOCAL_STATE=str(tmp_path))
    assert (ran.code, ran.out) == (3, "")


def test_a_token_that_is_not_accepted_is_named_with_its_source(command: Command) -> None:
    ran = command.run("sets", "list", INDUSTRYDATA_TOKEN="e30.e30.e30")
    assert (ran.code, ran.out) == (3, "")
    assert "(401 InvalidAuthenticationToken)" in ran.err
    assert "The service does not accept the token from INDUSTRYDATA_TOKEN." in ran.err


def test_a_token_without_the_permission_says_which_one(
    command: Command, stack: Stack, cli_set: str
) -> None:
    reading = application_token(stack.config, *READ)
    assert command.run("sets", "show", cli_set, INDUSTRYDATA_TOKEN=reading).code == 0
    ran = command.run("sets", "create", "x", INDUSTRYDATA_TOKEN=reading)
    assert (ran.code, ran.out) == (3, "")
    assert "(403 Authorization_RequestDenied)" in ran.err
    assert "to change IndustryData-OutboundFlow.ReadWrite.All" in ran.err


@pytest.mark.parametrize("given", ["two words", "é", "x" * 20_000])
def test_what_cannot_be_a_token_is_not_sent(command: Command, given: str) -> None:
    ran = command.run("sets", "list", INDUSTRYDATA_TOKEN=given)
    assert ran.code == 3
    assert ran.err == "INDUSTRYDATA_TOKEN must hold one access token and nothing else.\n"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("service.example", "is not a URL"),
        ("https://[", "is not a URL"),
        ("http://service.example/beta", "must use https"),
        ("http://127.0.0.1.service.example/beta", "must use https"),
        ("https://service.example", "it ends with /beta"),
        ("https://user@service.example/beta", "without a user"),
        ("https://service.example/beta?x=y", "without a user, a query"),
    ],
)
def test_a_root_to_which_no_token_may_go_is_refused(command: Command, url: str, why: str) -> None:
    for ran in (
        command.run("--url", url, "sets", "list"),
        command.run("sets", "list", SERVICE_ROOT=url),
    ):
        assert (ran.code, ran.out) == (2, "")
        assert why in ran.err
        assert ran.err.count("\n") == 1


def test_a_port_that_is_none_is_named(command: Command) -> None:
    ran = command.run("sets", "list", FUNCTIONS_PORT="http")
    assert (ran.code, ran.err) == (
        2,
        "FUNCTIONS_PORT='http' is not a port: give a number from 1 to 65535.\n",
    )


def test_a_service_that_does_not_answer_is_one_sentence(command: Command) -> None:
    ran = command.run("sets", "list", FUNCTIONS_PORT=str(free_ports(1)[0]))
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.endswith("Start the local stack: `make run`.\n")
    assert ran.err.count("\n") == 1


# --- Azure --------------------------------------------------------------------------------------


def test_a_service_in_azure_needs_whom_the_token_is_for(command: Command) -> None:
    ran = command.run("sets", "list", SERVICE_ROOT=HOSTED, INDUSTRYDATA_TOKEN="")
    assert ran.code == 3
    assert ran.err.startswith("Set API_CLIENT_ID to the client id of the API in Entra ID")


def test_without_the_azure_cli_it_says_what_to_install(command: Command, tmp_path: Path) -> None:
    ran = command.run(
        *("sets", "list"),
        SERVICE_ROOT=HOSTED,
        API_CLIENT_ID=UNKNOWN,
        INDUSTRYDATA_TOKEN="",
        PATH=str(tmp_path),
    )
    assert ran.code == 3
    assert ran.err.startswith("There is no Azure CLI (`az`) on PATH")


def test_the_token_of_the_azure_cli_is_for_the_api(command: Command, tmp_path: Path) -> None:
    path = program(tmp_path, "az", 'echo "$@" >&2; exit 1')
    ran = command.run(
        *("sets", "list"),
        SERVICE_ROOT=HOSTED,
        API_CLIENT_ID=UNKNOWN,
        INDUSTRYDATA_TOKEN="",
        PATH=path,
    )
    assert (ran.code, ran.out) == (3, "")
    assert "run `az login`" in ran.err
    scope = f"account get-access-token --scope api://{UNKNOWN}/.default"
    assert f"{scope} --query accessToken --output tsv" in ran.err


def test_with_azd_everything_comes_from_its_environment(
    without_token: Command, tmp_path: Path, api: str, token: str, cli_set: str
) -> None:
    root = api.replace("127.0.0.1", "localhost")
    path = program(
        tmp_path,
        "azd",
        '[ "$*" = "env get-values" ] || exit 9\n'
        f'printf \'AZURE_ENV_NAME="dev"\\nSERVICE_ROOT="{root}"\\n\'\n'
        f"printf 'INDUSTRYDATA_TOKEN=\"{token}\"\\n'",
    )
    ran = without_token.run(
        *("--azd", "sets", "show", cli_set), cwd=tmp_path, PATH=path, FUNCTIONS_PORT="9"
    )
    assert (ran.code, ran.err) == (0, "")


def test_an_azd_without_an_environment_is_one_sentence(command: Command, tmp_path: Path) -> None:
    path = program(tmp_path, "azd", "echo 'ERROR: no project exists' >&2; exit 1")
    ran = command.run("--azd", "sets", "list", PATH=path)
    assert (ran.code, ran.err) == (2, "`azd env get-values` failed: ERROR: no project exists\n")
    ran = command.run("--azd", "sets", "list", PATH=str(tmp_path / "none"))
    assert (ran.code, ran.err) == (
        2,
        "There is no `azd` on PATH: install the Azure Developer CLI.\n",
    )


def test_the_ports_of_make_run_are_the_usual_ones() -> None:
    from industrydata.target import Target

    target, usual = Target.read({}), LocalConfig()
    assert target.root == usual.api
    assert target.service_bus == usual.service_bus_connection


def test_azd_has_every_value_that_a_service_in_azure_takes() -> None:
    from industrydata.target import Target

    outputs = re.findall(r"^output (\w+) string", (INFRA / "main.bicep").read_text(), re.MULTILINE)
    asked_for = re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text())
    known = {name: f"{name}-value" for name in (*outputs, *asked_for)}
    # Azure may print names of outputs in another case.
    for values in (known, {name.upper(): value for name, value in known.items()}):
        target = Target.read({**values, "SERVICE_ROOT": HOSTED})
        assert target.audience == "api://API_CLIENT_ID-value"
        assert target.service_bus == "ServiceBus__fullyQualifiedNamespace-value"
        assert target.queue == "READINESS_QUEUE-value"
    assert "SERVICE_ROOT" in outputs
