"""The registration in Entra ID: the script as a process, against a tenant behind Graph's protocol.

The Azure CLI is a small program on PATH that gives the script its address and its token.
"""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import graph, register_api
from shared.domain import permissions
from tests.infra.graph_directory import TOKEN, Tenant, serving

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
NAME = "industry-data-provisioning"
DECLARED = [each for each in vars(permissions).values() if isinstance(each, permissions.Permission)]
READING = {permissions.FLOW_READ, permissions.DEFINITION_READ, permissions.READ_BASIC}
AZ = """#!/bin/sh
case "$*" in
"cloud show --query endpoints.microsoftGraphResourceId --output tsv") echo "{root}/" ;;
"account get-access-token --resource-type ms-graph --query accessToken --output tsv")
  echo {token} ;;
*) echo "unknown: $*" >&2; exit 2 ;;
esac
"""


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with serving(Tenant()) as running:
        yield running


def run(tenant: Tenant, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script, signed in to the tenant."""
    az = tmp_path / "az"
    az.write_text(AZ.format(root=tenant.root, token=TOKEN))
    az.chmod(az.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(
        [sys.executable, str(ROOT / "infra/register_api.py"), *arguments],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def done(tenant: Tenant, tmp_path: Path, *arguments: str) -> str:
    """Run the script, which must succeed; return what it prints."""
    finished = run(tenant, tmp_path, *arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def scopes(tenant: Tenant) -> dict[str, dict[str, Any]]:
    return {each["value"]: each for each in tenant.only["api"]["oauth2PermissionScopes"]}


def roles(tenant: Tenant) -> dict[str, dict[str, Any]]:
    return {each["value"]: each for each in tenant.only["appRoles"]}


def trusted(tenant: Tenant) -> dict[str, set[str]]:
    """The names of the scopes that each pre-authorised client may ask for."""
    by_id = {each["id"]: name for name, each in scopes(tenant).items()}
    return {
        each["appId"]: {by_id[one] for one in each["delegatedPermissionIds"]}
        for each in tenant.only["api"]["preAuthorizedApplications"]
    }


# --- what is published ----------------------------------------------------------------------------


def test_every_permission_that_an_operation_accepts_is_published(
    tenant: Tenant, tmp_path: Path
) -> None:
    done(tenant, tmp_path)

    assert set(scopes(tenant)) == {name for each in DECLARED for name in each.delegated}
    assert set(roles(tenant)) == {name for each in DECLARED for name in each.application}
    assert all(each["isEnabled"] for each in [*scopes(tenant).values(), *roles(tenant).values()])


def test_a_scope_and_a_role_of_one_name_are_one_permission(tenant: Tenant, tmp_path: Path) -> None:
    done(tenant, tmp_path)

    for name, scope in scopes(tenant).items():
        role = roles(tenant)[name]
        assert role["id"] == scope["id"]
        assert role["displayName"] == scope["adminConsentDisplayName"]
        assert role["description"] == scope["adminConsentDescription"]
        assert role["isEnabled"] == scope["isEnabled"]
    ids = {each["id"] for each in roles(tenant).values()}
    assert len(ids) == len(roles(tenant))


def test_users_can_have_every_role_but_the_one_that_shows_passwords(
    tenant: Tenant, tmp_path: Path
) -> None:
    done(tenant, tmp_path)

    for name, role in roles(tenant).items():
        for_users = name != permissions.PASSWORD_READ_ROLE
        assert ("User" in role["allowedMemberTypes"]) == for_users
        assert "Application" in role["allowedMemberTypes"]


def test_tokens_are_version_2_and_for_the_clients_own_address(
    tenant: Tenant, tmp_path: Path
) -> None:
    client_id = done(tenant, tmp_path).strip()

    assert tenant.only["api"]["requestedAccessTokenVersion"] == 2
    assert tenant.only["identifierUris"] == [f"api://{client_id}"]
    assert tenant.only["signInAudience"] == "AzureADMyOrg"


def test_only_who_was_assigned_a_role_gets_tokens(tenant: Tenant, tmp_path: Path) -> None:
    client_id = done(tenant, tmp_path).strip()

    (principal,) = tenant.principals.values()
    assert principal["appId"] == client_id
    assert principal["appRoleAssignmentRequired"] is True


def test_an_older_registration_starts_to_demand_assignments(tenant: Tenant, tmp_path: Path) -> None:
    client_id = done(tenant, tmp_path).strip()
    (principal,) = tenant.principals.values()
    principal["appRoleAssignmentRequired"] = False

    done(tenant, tmp_path, "--client-id", client_id)

    assert principal["appRoleAssignmentRequired"] is True


# --- the Azure CLI --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], None),
        (["--allow-azure-cli"], READING),
        (["--allow-azure-cli", "read"], READING),
        (
            ["--allow-azure-cli", "write"],
            {*READING, permissions.FLOW_WRITE, permissions.DEFINITION_WRITE},
        ),
    ],
)
def test_the_azure_cli_is_authorized_for_the_given_permissions(
    tenant: Tenant, tmp_path: Path, arguments: list[str], names: set[str] | None
) -> None:
    done(tenant, tmp_path, *arguments)

    assert trusted(tenant) == ({} if names is None else {register_api.AZURE_CLI: names})


def test_trust_in_the_azure_cli_is_taken_back_and_that_in_others_stays(
    tenant: Tenant, tmp_path: Path
) -> None:
    done(tenant, tmp_path, "--allow-azure-cli", "write")
    other = {"appId": str(uuid.uuid4())}
    other_ids = [scopes(tenant)[permissions.FLOW_READ]["id"]]
    clients = tenant.only["api"]["preAuthorizedApplications"]
    clients.append({**other, "delegatedPermissionIds": other_ids})

    done(tenant, tmp_path)

    assert trusted(tenant) == {other["appId"]: {permissions.FLOW_READ}}


# --- assignments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        ([], permissions.FLOW_WRITE),
        (["--role", permissions.FLOW_READ], permissions.FLOW_READ),
        (["--role", permissions.PASSWORD_READ_ROLE], permissions.PASSWORD_READ_ROLE),
    ],
)
def test_an_application_is_assigned_a_role_once(
    tenant: Tenant, tmp_path: Path, arguments: list[str], role: str
) -> None:
    engine = str(uuid.uuid4())
    for _ in range(2):
        done(tenant, tmp_path, "--grant", engine, *arguments)

    (principal,) = tenant.principals
    expected = {"principalId": engine, "resourceId": principal}
    assert tenant.assignments == [{**expected, "appRoleId": roles(tenant)[role]["id"]}]


def test_a_user_is_assigned_a_role_once(tenant: Tenant, tmp_path: Path) -> None:
    other = str(uuid.uuid4())
    for _ in range(2):
        done(tenant, tmp_path, "--grant", other, "--grant", "me")

    assert [each["principalId"] for each in tenant.assignments] == [other, tenant.me]


def test_no_user_is_assigned_the_role_that_shows_passwords(tenant: Tenant, tmp_path: Path) -> None:
    finished = run(tenant, tmp_path, "--grant", "me", "--role", permissions.PASSWORD_READ_ROLE)

    assert finished.returncode == 1
    assert "cannot be assigned" in finished.stderr
    assert tenant.assignments == []


# --- again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [False, True])
def test_a_second_run_changes_nothing(tenant: Tenant, tmp_path: Path, by_id: bool) -> None:
    first = done(tenant, tmp_path, "--allow-azure-cli")
    before = (str(tenant.applications), str(tenant.principals))
    tenant.requests.clear()

    arguments = ["--client-id", first.strip()] if by_id else []
    assert done(tenant, tmp_path, "--allow-azure-cli", *arguments) == first

    assert (str(tenant.applications), str(tenant.principals)) == before
    # Nothing was disabled in between, either.
    assert len(tenant.sent("PATCH /applications")) == 2
    assert tenant.sent("POST") == []


@pytest.mark.parametrize("owners", [["other"], ["me", "other"], []])
def test_an_application_that_others_own_is_not_taken_up(
    tenant: Tenant, tmp_path: Path, owners: list[str]
) -> None:
    """Its owner could give themselves any role: users may register applications of any name."""
    found = tenant.add_application(NAME, "")
    tenant.owners[found["id"]] = [tenant.me if each == "me" else each for each in owners]

    finished = run(tenant, tmp_path)

    assert (finished.returncode, finished.stdout) == (1, "")
    assert found["appId"] in finished.stderr
    assert "--client-id" in finished.stderr
    assert tenant.sent("PATCH") == tenant.sent("POST") == []


def test_of_two_applications_of_a_name_neither_is_taken_up(tenant: Tenant, tmp_path: Path) -> None:
    for _ in range(2):
        tenant.add_application(NAME, tenant.me)

    assert run(tenant, tmp_path).returncode == 1
    assert tenant.sent("PATCH") == tenant.sent("POST") == []


def test_a_name_with_a_quote_is_found_again(tenant: Tenant, tmp_path: Path) -> None:
    first = done(tenant, tmp_path, "--name", "St. Mary's & Co")

    assert done(tenant, tmp_path, "--name", "St. Mary's & Co") == first


def test_what_others_added_stays(tenant: Tenant, tmp_path: Path) -> None:
    client_id = done(tenant, tmp_path).strip()
    role: dict[str, Any] = {"id": str(uuid.uuid4()), "value": "Own.Role", "isEnabled": True}
    role |= {"allowedMemberTypes": ["User"], "displayName": "Own", "description": "Own"}
    tenant.only["appRoles"].append(role)
    tenant.only["identifierUris"].append("https://contoso.example/provisioning")

    done(tenant, tmp_path)

    assert roles(tenant)["Own.Role"] == role
    assert set(tenant.only["identifierUris"]) == {
        f"api://{client_id}",
        "https://contoso.example/provisioning",
    }


def test_permissions_that_are_out_of_date_are_replaced(tenant: Tenant, tmp_path: Path) -> None:
    """Entra ID changes what is enabled only after it was disabled."""
    done(tenant, tmp_path)
    for role in tenant.only["appRoles"]:
        role["allowedMemberTypes"] = ["Application"]
    scope = scopes(tenant)[permissions.READ_BASIC]
    tenant.only["appRoles"].remove(roles(tenant)[permissions.READ_BASIC])
    scope["id"] = str(uuid.uuid4())

    done(tenant, tmp_path)

    assert "User" in roles(tenant)[permissions.FLOW_WRITE]["allowedMemberTypes"]
    ids = {each[permissions.READ_BASIC]["id"] for each in (scopes(tenant), roles(tenant))}
    assert ids == {register_api.permission_id(permissions.READ_BASIC)}


# --- Entra ID is slow -----------------------------------------------------------------------------


def test_what_entra_does_not_know_yet_is_tried_again_with_growing_pauses(
    tenant: Tenant, tmp_path: Path
) -> None:
    tenant.lag = 2
    engine = str(uuid.uuid4())

    client_id = done(tenant, tmp_path, "--grant", engine).strip()

    assert len(tenant.assignments) == 1
    times = [
        at for sent, at in tenant.requests if sent == f"GET /applications(appId='{client_id}')"
    ]
    first, second = (after - before for before, after in itertools.pairwise(times))
    assert first >= graph.FIRST_PAUSE_SECONDS
    assert second >= 2 * graph.FIRST_PAUSE_SECONDS
    assert len(tenant.sent("POST /applications")) == 1


def test_it_waits_for_two_minutes_at_most_and_ever_longer() -> None:
    assert graph.PATIENCE_SECONDS == 120
    waits = list(itertools.islice(graph.pauses(), 12))
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == graph.LONGEST_PAUSE_SECONDS < graph.PATIENCE_SECONDS / 4


def test_it_gives_up_and_leaves_the_client_id(tenant: Tenant, tmp_path: Path) -> None:
    tenant.lag = 1000

    finished = run(tenant, tmp_path, "--patience", "2")

    assert finished.returncode == 1
    assert finished.stdout.strip() == tenant.only["appId"]
    assert "after trying for 2 seconds" in finished.stderr


def test_the_retry_after_of_a_busy_graph_is_awaited(tenant: Tenant, tmp_path: Path) -> None:
    tenant.throttle = 1

    done(tenant, tmp_path)

    (_, first), (_, second) = tenant.requests[:2]
    assert second - first >= 1
    assert len(tenant.applications) == 1


@pytest.mark.parametrize("broken", ["PATCH /applications", "POST /servicePrincipals"])
def test_the_client_id_is_printed_before_what_may_fail(
    tenant: Tenant, tmp_path: Path, broken: str
) -> None:
    tenant.broken = broken
    finished = run(tenant, tmp_path)
    assert finished.returncode == 1
    assert finished.stdout == f"{tenant.only['appId']}\n"
    assert "Insufficient privileges" in finished.stderr

    tenant.broken = None
    assert done(tenant, tmp_path) == finished.stdout


def test_a_refusal_is_not_tried_again(tenant: Tenant, tmp_path: Path) -> None:
    tenant.broken = "POST /applications"

    finished = run(tenant, tmp_path)

    assert (finished.returncode, finished.stdout) == (1, "")
    assert len(tenant.sent("POST")) == 1


def test_the_token_is_never_printed(tenant: Tenant, tmp_path: Path) -> None:
    tenant.broken = "PATCH"

    finished = run(tenant, tmp_path)

    assert TOKEN not in finished.stdout + finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--client-id", "no-guid"],
        ["--client-id", "x' or '1'='1"],
        ["--grant", "somebody"],
        ["--grant", "me", "--role", "Other"],
        ["--allow-azure-cli", "all"],
        ["--patience", "0"],
        ["--patience", "nan"],
    ],
)
def test_a_wrong_command_line_sends_no_request(
    tenant: Tenant, tmp_path: Path, arguments: list[str]
) -> None:
    finished = run(tenant, tmp_path, *arguments)

    assert finished.returncode == 2
    assert "usage:" in finished.stderr
    assert tenant.requests == []


def test_the_address_of_graph_must_be_safe(tmp_path: Path) -> None:
    finished = run(Tenant(root="http://graph.example"), tmp_path)

    assert finished.returncode == 1
    assert "http://graph.example" in finished.stderr


def test_without_a_signed_in_azure_cli_its_words_are_shown(tmp_path: Path) -> None:
    (tmp_path / "az").write_text("#!/bin/sh\necho 'Please run az login' >&2\nexit 1\n")
    (tmp_path / "az").chmod(0o755)
    finished = subprocess.run(
        [sys.executable, str(ROOT / "infra/register_api.py")],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (finished.returncode, finished.stdout) == (1, "")
    assert "Please run az login" in finished.stderr
