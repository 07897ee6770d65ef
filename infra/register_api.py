#!/usr/bin/env python3
"""Registers the API in Entra ID, so that tokens can be made for it.

`python3 infra/register_api.py` publishes the permissions of shared/domain/permissions.py, each as a
delegated scope and as a role for users and applications, and has Entra ID issue tokens only to
those that were assigned a role. It prints the client id alone on standard output, before anything
that may still fail, for `azd env set API_CLIENT_ID`; what it does goes to standard error.

Running it again completes or updates the registration. It takes up an application of its name by
itself only where the signed-in user alone owns it: in most tenants every user may register
applications, under any name, and their owner decides what they publish. For any other give
--client-id.

--grant assigns a role to a user, a group or an application. --allow-azure-cli lets `az` ask for
tokens without consent, to try things by hand; a run without it takes that back.

Needs the Azure CLI, signed in as a user who may register applications. Exit code 1 says that
Entra ID or the Azure CLI refused something.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.graph import PATIENCE_SECONDS, Graph, RegistrationError, azure_cli  # noqa: E402
from shared.domain import permissions  # noqa: E402

# The Azure CLI's own client id; it is the same in every tenant.
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
# Ids of permissions are made from their names, so that a second run names the same ones.
_IDS = uuid.UUID("5f0f6a3c-6d0f-4f0e-9a55-6d8f2c1f7e10")
# --- what is published ----------------------------------------------------------------------------


def permission_id(name: str) -> str:
    """The id of the scope and of the role of this name.

    Entra ID refuses a scope and a role of one name unless id, texts and state are equal, too.
    """
    return str(uuid.uuid5(_IDS, name))


def _all() -> list[permissions.Permission]:
    values = vars(permissions).values()
    return [value for value in values if isinstance(value, permissions.Permission)]


def scope_names() -> list[str]:
    """Every delegated scope that some operation accepts."""
    return sorted({name for each in _all() for name in each.delegated})


def role_names() -> list[str]:
    """Every role of an application that some operation accepts."""
    return sorted({name for each in _all() for name in each.application})


def reading_scopes() -> list[str]:
    """The scopes that open no operation that writes."""
    writing = {name for each in _all() for name in each.assigned}
    return [name for name in scope_names() if name not in writing]


def published_scopes() -> list[dict[str, Any]]:
    """The scopes as a registration states them."""
    return [
        {
            "id": permission_id(name),
            "value": name,
            "type": "Admin",
            "isEnabled": True,
            "adminConsentDisplayName": name,
            "adminConsentDescription": _description(name),
        }
        for name in scope_names()
    ]


def published_roles() -> list[dict[str, Any]]:
    """The roles as a registration states them; users can have those that are also scopes.

    Those for reading too: a user without any role gets no token (appRoleAssignmentRequired).
    """
    scopes = scope_names()
    return [
        {
            "id": permission_id(name),
            "value": name,
            "allowedMemberTypes": ["Application", "User"] if name in scopes else ["Application"],
            "isEnabled": True,
            "displayName": name,
            "description": _description(name),
        }
        for name in role_names()
    ]


def _description(name: str) -> str:
    return f"Call the provisioning service with {name}."


# --- the registration -----------------------------------------------------------------------------


def client_id_of(graph: Graph, name: str) -> str:
    """Return the client id of the signed-in user's application of this name, made if need be.

    Raises RegistrationError where applications of this name may be someone else's.
    """
    literal = name.replace("'", "''")
    query = quote(f"displayName eq '{literal}'", safe="")
    found = list(graph.every(f"/applications?$filter={query}&$select=id,appId"))
    if not found:
        return str(graph.call("POST", "/applications", {"displayName": name})["appId"])
    if len(found) == 1:
        owners = graph.every(f"/applications/{found[0]['id']}/owners?$select=id")
        if [str(owner["id"]) for owner in owners] == [graph.me()]:
            return str(found[0]["appId"])
    ids = ", ".join(str(each["appId"]) for each in found)
    raise RegistrationError(
        f"The tenant has applications named {name!r} that you do not own alone ({ids}): give "
        "--client-id with the one that is meant, or another --name."
    )


def publish(graph: Graph, client_id: str, trusted: list[str]) -> None:
    """Bring the application up to date; the Azure CLI gets the trusted scopes and no others.

    What others have added stays: their permissions, addresses and pre-authorised clients.
    """
    path = f"/applications(appId='{client_id}')"
    found = graph.call("GET", path)
    api = found.get("api") or {}
    old_scopes, old_roles = api.get("oauth2PermissionScopes") or [], found.get("appRoles") or []
    scopes, roles = published_scopes(), published_roles()
    own = [*old_scopes, *old_roles]
    if any(_is_ours(entry) and entry["isEnabled"] for entry in own) and not (
        _is_current(old_scopes, scopes) and _is_current(old_roles, roles)
    ):
        # Entra ID changes or removes a permission only while it is disabled.
        graph.call(
            "PATCH",
            path,
            {
                "api": {"oauth2PermissionScopes": _disabled(old_scopes)},
                "appRoles": _disabled(old_roles),
            },
        )
    published = {
        "requestedAccessTokenVersion": 2,
        "oauth2PermissionScopes": [*_of_others(old_scopes), *scopes],
    }
    graph.call(
        "PATCH",
        path,
        {
            "signInAudience": "AzureADMyOrg",
            "identifierUris": sorted({*found.get("identifierUris", []), f"api://{client_id}"}),
            "api": published,
            "appRoles": [*_of_others(old_roles), *roles],
        },
    )
    # The scopes must exist before a client may be trusted with them.
    clients = [
        client
        for client in api.get("preAuthorizedApplications") or []
        if client["appId"] != AZURE_CLI
    ]
    if trusted:
        ids = [permission_id(name) for name in trusted]
        clients.append({"appId": AZURE_CLI, "delegatedPermissionIds": ids})
    graph.call("PATCH", path, {"api": {**published, "preAuthorizedApplications": clients}})


def _is_ours(entry: dict[str, Any]) -> bool:
    return entry["value"] in {*scope_names(), *role_names()}


def _is_current(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether each of our entries that is there says what we publish under its id."""
    by_id = {entry["id"]: entry for entry in wanted}
    return all(
        by_id.get(entry["id"]) == {key: _sorted(entry.get(key)) for key in wanted[0]}
        for entry in found
        if _is_ours(entry)
    )


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _of_others(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_sendable(entry) for entry in entries if not _is_ours(entry)]


def _disabled(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**_sendable(entry), "isEnabled": entry["isEnabled"] and not _is_ours(entry)}
        for entry in entries
    ]


def _sendable(entry: dict[str, Any]) -> dict[str, Any]:
    # Graph answers with `origin` and refuses it in a request.
    return {key: value for key, value in entry.items() if key != "origin"}


def principal_of(graph: Graph, client_id: str) -> str:
    """Return the object id of the API's service principal, which demands assignments."""
    demand = {"appRoleAssignmentRequired": True}
    query = quote(f"appId eq '{client_id}'", safe="")
    found = next(graph.every(f"/servicePrincipals?$filter={query}&$select=id"), None)
    if found is None:
        found = graph.call("POST", "/servicePrincipals", {"appId": client_id, **demand})
    graph.call("PATCH", f"/servicePrincipals/{found['id']}", demand)
    return str(found["id"])


def grant(graph: Graph, principal: str, holder: str, role: str) -> None:
    """Assign a role of the API to a user, a group or an application, unless it is assigned."""
    path = f"/servicePrincipals/{principal}/appRoleAssignedTo"
    wanted = {
        "principalId": holder,
        "resourceId": principal,
        "appRoleId": permission_id(role),
    }
    for given in graph.every(path):
        if (given["principalId"], given["appRoleId"]) == (holder, wanted["appRoleId"]):
            return
    graph.call("POST", path, wanted)


def register(graph: Graph, given: argparse.Namespace) -> None:
    """Do what the command line says; raises RegistrationError."""
    client_id = given.client_id or client_id_of(graph, given.name)
    # First of all: whatever fails from here on, a second run needs this.
    print(client_id, flush=True)
    trusted = {None: [], "read": reading_scopes(), "write": scope_names()}[given.allow_azure_cli]
    publish(graph, client_id, trusted)
    principal = principal_of(graph, client_id)
    for holder in given.grant:
        grant(graph, principal, graph.me() if holder == "me" else holder, given.role)


def _guid(text: str) -> str:
    return str(uuid.UUID(text))


def _holder(text: str) -> str:
    return text if text == "me" else _guid(text)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="industry-data-provisioning", help="its display name")
    parser.add_argument("--client-id", type=_guid, help="update this registration")
    parser.add_argument(
        "--grant",
        type=_holder,
        action="append",
        default=[],
        metavar="OBJECT_ID",
        help="assign --role to this user, group or service principal; me: to yourself",
    )
    parser.add_argument(
        "--role",
        choices=role_names(),
        default=permissions.FLOW_WRITE,
        help="the role that --grant assigns (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-azure-cli",
        nargs="?",
        const="read",
        choices=["read", "write"],
        help="let the Azure CLI ask for the scopes that read, or for all, without consent",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds to wait until Entra ID knows what was created (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    if not 0 < given.patience <= 3600:
        parser.error("--patience must be more than 0 and at most 3600 seconds")
    try:
        endpoint = azure_cli("cloud", "show", "--query", "endpoints.microsoftGraphResourceId")
        token = azure_cli(
            *("account", "get-access-token", "--resource-type", "ms-graph"),
            *("--query", "accessToken"),
        )
        register(Graph(endpoint, token, given.patience), given)
    except RegistrationError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
