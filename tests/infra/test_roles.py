"""Who may do what: the plan gives the roles that docs/deploy.md lists, and no others."""

from __future__ import annotations

import re

import pytest

from tests.infra import plan
from tests.infra.plan import ENVIRONMENTS, ROOT, Plan, read

ARM = "Microsoft.Authorization/roleAssignments"
COSMOS = "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"
DEPLOY = (ROOT / "docs/deploy.md").read_text("utf-8")

# Built-in roles; their ids are the same in every tenant:
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "00000000-0000-0000-0000-000000000001": "Cosmos DB Built-in Data Reader",
    "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Service Bus Data Sender",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Service Bus Data Receiver",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Service Bus Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
# How the page names what a role is given on; `*` is what the names have in common.
SCOPES = {
    "databaseAccounts/cosmos-*/dbs/industryData": "the database",
    "namespaces/sb-*/queues/readiness": "the queue",
    "namespaces/sb-*/queues/notifications": "the queue of reminders",
    "storageAccounts/*/blobServices/default/containers/dead-letters": (
        "the container for dead letters"
    ),
    "storageAccounts/*/blobServices/default/containers/password-readings": (
        "the container for password readings"
    ),
    "storageAccounts/*pkg/blobServices/default/containers/deployments": (
        "the container of the package"
    ),
    "storageAccounts/*": "the storage account of the Functions host",
    "components/appi-*": "Application Insights",
}
APP, DEPLOYER, DEVELOPER = "the app", "deployments", "the developer"
PRINCIPALS = {
    "[id-*.principalId]": APP,
    "[id-*-deploy.principalId]": DEPLOYER,
    "44444444-4444-4444-4444-444444444444": DEVELOPER,
}

Role = tuple[str, str, str]


def assigned(made: Plan) -> list[Role]:
    """Who has which role on what, in the words of the page."""
    vault = str(made.one("Microsoft.KeyVault/vaults")["name"])
    scopes = {**SCOPES, f"vaults/{vault}": "the vault"}
    found = []
    for resource in [*made.of(ARM), *made.of(COSMOS)]:
        values = resource["properties"]
        on = values["scope"] if resource["type"] == COSMOS else plan.scope(resource)
        within = re.sub(r".*/providers/[\w.]+/", "", made.plain(on) if vault not in on else on)
        role = ROLES[values["roleDefinitionId"].rpartition("/")[2]]
        found.append((PRINCIPALS[made.plain(values["principalId"])], role, scopes[within]))
    return found


def documented() -> list[Role]:
    """The rows of the page's table."""
    table = DEPLOY.partition("## What may do what")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return [(who, role.partition(",")[0], on) for who, role, on in rows if who != "Who"]


def test_a_developers_plan_has_every_role_of_the_page_but_the_key_ring() -> None:
    """dev names a developer, who does not read the key ring without the second setting."""
    rows = documented()
    key_ring = (DEVELOPER, "Key Vault Secrets User", "the vault")
    assert rows.count(key_ring) == 1
    assert sorted(assigned(read("dev"))) == sorted(row for row in rows if row != key_ring)


def test_without_a_developer_only_the_app_and_its_deployments_have_roles() -> None:
    assert sorted(assigned(read("prod"))) == sorted(
        row for row in documented() if row[0] != DEVELOPER
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_app_cannot_write_its_own_package(environment: str) -> None:
    mine = [(role, on) for who, role, on in assigned(read(environment)) if who == APP]
    assert not [on for _, on in mine if on == "the container of the package"]
    site = read(environment).one("Microsoft.Web/sites")["properties"]
    storage = site["functionAppConfig"]["deployment"]["storage"]
    assert storage["type"] == "blobContainer"
    assert read(environment).plain(storage["value"]) == (
        "[format('{0}{1}', *pkg.primaryEndpoints.blob, 'deployments')]"
    )
    assert storage["authentication"]["type"] == "UserAssignedIdentity"
    assert storage["authentication"]["userAssignedIdentityResourceId"].endswith("-deploy")


def test_a_developer_reads_and_never_writes() -> None:
    roles = {role for who, role, _ in assigned(read("dev")) if who == DEVELOPER}
    assert roles == {"Cosmos DB Built-in Data Reader", "Storage Blob Data Reader"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_role_assignment_is_named_by_what_it_says(environment: str) -> None:
    """Then a second deployment finds it, and no two have one name."""
    made = read(environment)
    for resource in [*made.of(ARM), *made.of(COSMOS)]:
        values = resource["properties"]
        if made.plain(values["principalId"]) not in ("[id-*.principalId]",):
            continue
        role = values["roleDefinitionId"].rpartition("/")[2]
        principal = values["principalId"].strip("[]")
        assert principal in resource["name"]
        assert role in resource["name"]
        if resource["type"] == ARM:
            assert plan.scope(resource) in resource["name"]
    names = [resource["name"] for resource in [*made.of(ARM), *made.of(COSMOS)]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_kinds_of_principals_are_said(environment: str) -> None:
    """Azure looks a new service principal up by its kind; without it, the first try fails."""
    for resource in read(environment).of(ARM):
        user = "4444" in resource["properties"]["principalId"]
        assert resource["properties"]["principalType"] == ("User" if user else "ServicePrincipal")
