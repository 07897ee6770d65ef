"""Every code block of every document is run by a test, or stands here with the reason why not."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import pytest

from local.config import ROOT
from tests.support.documents import all_blocks, documents
from tests.support.sources import parsed


@dataclass(frozen=True)
class By:
    """The test that runs a block, or compares it with what the service does."""

    test: str


@dataclass(frozen=True)
class Because:
    """Why no test runs a block as it stands, and which one runs as much of it as can be."""

    reason: str
    test: str | None = None


CLI = "tests/cli/test_documents.py::"
ENGINE = "tests/events/test_provisioning_engine.py::"
GUIDES = "tests/project/test_guides.py::"
NOTIFIED = "tests/notifications/"
README = "tests/project/test_readme.py::"

FIRST_MINUTES = f"{GUIDES}test_the_commands_of_the_first_five_minutes_do_what_the_guide_says"
FIRST_REQUEST = f"{README}test_the_first_request_gets_the_answer_that_stands_below_it"
OF_FAULTS = f"{GUIDES}test_the_commands_for_faults_put_list_and_remove_rules"
OF_PYTEST = f"{GUIDES}test_the_pytest_example_sees_the_python_client_retry"
REPORTS = f"{CLI}test_the_commands_that_report_a_status_count"

AZURE = Because("needs an Azure subscription")
PICTURE = Because("is a picture")
INSTALL = Because(
    "downloads from a package registry",
    "tests/cli/test_package.py::test_what_is_installed_runs_without_the_repository",
)

# The blocks of each document from top to bottom: how each begins, and what is done about it.
DECISIONS: dict[str, list[tuple[str, By | Because]]] = {
    "CONTRIBUTING.md": [("make check", Because("is what runs this test"))],
    "README.md": [
        ("make demo", Because("its second command is what runs this test", FIRST_MINUTES)),
        ("SETS=http://127.0.0.1:7071/beta/", By(FIRST_REQUEST)),
        ("{", By(FIRST_REQUEST)),
        ("client ──HTTP", PICTURE),
        (
            "export MSSQL_SA_PASSWORD=",
            Because(
                "needs Docker and Core Tools",
                "tests/project/test_official_parts.py::"
                "test_readme_and_compose_give_the_same_commands",
            ),
        ),
        (
            "pipx install ./cli",
            Because(
                "needs a package registry and an Azure subscription",
                f"{CLI}test_what_the_readme_runs_after_the_installation_lists_flows",
            ),
        ),
        ("az login", AZURE),
    ],
    "cli/README.md": [
        ("pipx install ./cli", INSTALL),
        ("SET=$(industrydata", By(f"{CLI}test_the_examples_work_one_after_the_other")),
    ],
    "docs/deploy.md": [
        ("az login", AZURE),
        ("az ad app delete", AZURE),
    ],
    "docs/first-five-minutes.md": [
        ("make demo", By(FIRST_MINUTES)),
        (
            "make run",
            Because(
                "runs until Ctrl-C",
                "tests/project/test_stack.py::test_ctrl_c_stops_every_child",
            ),
        ),
        ("pipx install ./cli", INSTALL),
        ("SET=$(industrydata", By(FIRST_MINUTES)),
        ("make token", By(FIRST_MINUTES)),
        ("echo '{", By(FIRST_MINUTES)),
    ],
    "docs/graph-sdks.md": [
        ("import asyncio", By(f"{GUIDES}test_the_python_of_the_sdk_guide_creates_a_flow")),
        ("import { Client", By(f"{GUIDES}test_the_javascript_of_the_sdk_guide_creates_a_flow")),
        ("const client = Client.init({", AZURE),
        ("using Microsoft.Graph.Beta;", Because("needs .NET, as the page says")),
        ("$sets = ", Because("needs PowerShell, as the page says")),
        ("Add-MgEnvironment", AZURE),
        (
            "npx openapi-typescript",
            By(f"{GUIDES}test_the_commands_for_generated_clients_make_them"),
        ),
    ],
    "docs/notifications.md": [
        (
            "POST /beta/subscriptions",
            Because(
                "names a host that does not exist",
                f"{NOTIFIED}test_subscriptions.py::"
                "test_a_subscription_is_made_read_renewed_and_ended",
            ),
        ),
        (
            "{",
            Because(
                "is a message about placeholders",
                f"{NOTIFIED}test_delivery.py::test_each_change_of_a_flow_is_sent_in_order",
            ),
        ),
    ],
    "docs/operations.md": [
        (
            "industrydata --azd passwords rotate",
            Because(
                "needs an Azure subscription",
                f"{CLI}test_the_commands_of_operations_seal_passwords",
            ),
        ),
        (
            "industrydata dead-letters list",
            By(f"{CLI}test_the_commands_of_operations_for_dead_letters_work_on_one_that_exists"),
        ),
        ("az storage blob list", AZURE),
        ("industrydata report SET FLOW failed", By(REPORTS)),
    ],
    "docs/provisioning-engine.md": [
        ("{", By(f"{ENGINE}test_the_message_in_the_page_is_an_example")),
        (
            "using Azure.Identity;",
            Because("needs .NET", f"{ENGINE}test_the_csharp_of_the_page_sends_the_same_members"),
        ),
        (
            "import json",
            Because(
                "needs an Azure subscription",
                f"{ENGINE}test_the_python_of_the_page_reports_a_flow_as_failed",
            ),
        ),
        ("TOKEN=$(az account", AZURE),
        ("industrydata report SET user failed", By(REPORTS)),
        (
            "{",
            By("tests/api/test_passwords.py::test_the_answer_in_the_guide_is_what_the_engine_gets"),
        ),
    ],
    "docs/testing-a-client.md": [
        ("make faults", By(OF_FAULTS)),
        ("{", By(OF_FAULTS)),
        (
            "make faults",
            Because(
                "moves the clock, which no stack that others use can bear",
                "tests/faults/test_time.py::"
                "test_commands_move_the_clock_and_print_a_token_of_its_time",
            ),
        ),
        ("import os", By(OF_PYTEST)),
        ("import asyncio", By(OF_PYTEST)),
        (
            "const { Client",
            By(f"{GUIDES}test_the_jest_example_sees_the_javascript_client_retry"),
        ),
    ],
    "docs/threat-model.md": [("caller ──HTTPS", PICTURE)],
    "local/emulators/service_bus/README.md": [
        (
            ".venv/bin/python -m local.emulators.service_bus",
            Because(
                "runs until Ctrl-C",
                "tests/emulators/test_service_bus_process.py::"
                "test_a_signal_stops_it_at_once_and_closes_connections_with_a_reason",
            ),
        )
    ],
    "local/host/README.md": [
        (
            ".venv/bin/python -m local.host",
            Because(
                "runs until Ctrl-C",
                "tests/host/test_cli.py::test_signal_ends_the_host_with_success",
            ),
        )
    ],
}


@pytest.mark.parametrize("page", documents())
def test_what_is_done_about_each_block_of_a_page_is_decided(page: str) -> None:
    found = [block.first_line for block in all_blocks(ROOT / page)]
    decided = [beginning for beginning, _ in DECISIONS.get(page, [])]
    fit = [line.startswith(each) for line, each in zip(found, decided, strict=False)]
    assert len(found) == len(decided), f"blocks: {found}"
    assert all(fit), f"blocks: {found}, decisions: {decided}"


def test_no_decision_is_about_a_page_that_is_gone() -> None:
    assert set(DECISIONS) <= set(documents())


@pytest.mark.parametrize(
    "name",
    sorted({decided.test for page in DECISIONS.values() for _, decided in page if decided.test}),
)
def test_the_test_that_a_decision_names_exists(name: str) -> None:
    file, _, function = name.partition("::")
    tree = parsed(ROOT / file)
    defined = [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert function in defined


@pytest.mark.parametrize(
    ("page", "beginning"),
    [
        (page, beginning)
        for page, decisions in DECISIONS.items()
        for beginning, decided in decisions
        if decided == AZURE
    ],
)
def test_what_is_left_out_for_azure_names_something_of_azure(page: str, beginning: str) -> None:
    [code] = [
        block.code for block in all_blocks(ROOT / page) if block.first_line.startswith(beginning)
    ]
    assert any(word in code for word in ("az ", "HOST", "azd "))
