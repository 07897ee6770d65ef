#!/usr/bin/env python3
"""Registers the API in Entra ID, so that tokens can be made for it.

`python3 infra/register_api.py` publishes the permissions of shared/domain/permissions.py as
delegated scopes and application roles, and lets the Azure CLI ask for the scopes, which the smoke
test uses.
It prints the client id alone, for `azd env set API_CLIENT_ID`. With --client-id it brings an
existing registration up to date. --grant gives an application, such as the one a workflow signs in
as, the right to write flows.

Needs the Azure CLI, signed in as somebody who may register applications. Exit code 1 says that one
of its commands failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.domain import permissions  # noqa: E402

GRAPH = "https://graph.microsoft.com/v1.0"
# The Azure CLI's own client id; it is the same in every tenant.
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
# Ids of scopes and roles are made from their names, so that a second run names the same ones.
_IDS = uuid.UUID("5f0f6a3c-6d0f-4f0e-9a55-6d8f2c1f7e10")


class RegistrationError(Exception):
    """A command of the Azure CLI failed; the text is what it said."""


def permission_id(form: str, name: str) -> str:
    """The id of a scope or role; `form` is "scope" or "role"."""
    return str(uuid.uuid5(_IDS, f"{form} {name}"))


def names(form: str) -> list[str]:
    """Every permission that some operation accepts, as "delegated" or "application"."""
    return sorted(
        {
            name
            for value in vars(permissions).values()
            if isinstance(value, permissions.Permission)
            for name in getattr(value, form)
        }
    )


def application() -> dict[str, Any]:
    """What the registration says about the API's tokens and permissions."""
    scopes = [
        {
            "id": permission_id("scope", name),
            "value": name,
            "type": "Admin",
            "isEnabled": True,
            "adminConsentDisplayName": name,
            "adminConsentDescription": f"Call the provisioning service with {name}.",
        }
        for name in names("delegated")
    ]
    roles = [
        {
            "id": permission_id("role", name),
            "value": name,
            "allowedMemberTypes": ["Application"],
            "isEnabled": True,
            "displayName": name,
            "description": f"Call the provisioning service with {name}.",
        }
        for name in names("application")
    ]
    return {
        "signInAudience": "AzureADMyOrg",
        "api": {"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": scopes},
        "appRoles": roles,
    }


def register(display_name: str, client_id: str | None, grant: str | None) -> str:
    """Create or update the registration and return its client id; raises RegistrationError."""
    if client_id is None:
        client_id = str(_graph("post", "/applications", {"displayName": display_name})["appId"])
    app = f"/applications(appId='{client_id}')"
    _graph("patch", app, {**application(), "identifierUris": [f"api://{client_id}"]})
    # The scopes must exist before a client may be trusted with them.
    trusted = [permission_id("scope", name) for name in names("delegated")]
    _graph(
        "patch",
        app,
        {
            "api": {
                **application()["api"],
                "preAuthorizedApplications": [
                    {"appId": AZURE_CLI, "delegatedPermissionIds": trusted}
                ],
            }
        },
    )
    query = f"/servicePrincipals?$filter=appId eq '{client_id}'"
    found = _graph("get", query)["value"]
    principal = found[0] if found else _graph("post", "/servicePrincipals", {"appId": client_id})
    if grant is not None:
        _grant(str(principal["id"]), grant)
    return client_id


def _grant(api: str, caller: str) -> None:
    role = permission_id("role", permissions.FLOW_WRITE)
    given = _graph("get", f"/servicePrincipals/{caller}/appRoleAssignments")["value"]
    if any(entry["appRoleId"] == role and entry["resourceId"] == api for entry in given):
        return
    _graph(
        "post",
        f"/servicePrincipals/{caller}/appRoleAssignments",
        {"principalId": caller, "resourceId": api, "appRoleId": role},
    )


def _graph(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call Microsoft Graph through the Azure CLI, which has the token; returns its answer."""
    az = shutil.which("az")
    if az is None:
        raise RegistrationError("There is no `az` on PATH: install the Azure CLI and run az login.")
    command = [az, "rest", "--method", method, "--url", f"{GRAPH}{path}", "--output", "json"]
    with tempfile.TemporaryDirectory() as folder:
        if body is not None:
            # By file: quoting JSON differs from shell to shell.
            file = Path(folder) / "body.json"
            file.write_text(json.dumps(body), encoding="utf-8")
            command += ["--headers", "Content-Type=application/json", "--body", f"@{file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode != 0:
        raise RegistrationError(f"{method.upper()} {path} failed: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints the client id."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="industry-data-provisioning", help="its display name")
    parser.add_argument("--client-id", help="update this registration; none: make one")
    parser.add_argument("--grant", help="object id of a service principal that shall write flows")
    given = parser.parse_args(arguments)
    try:
        print(register(given.name, given.client_id, given.grant))
    except RegistrationError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
