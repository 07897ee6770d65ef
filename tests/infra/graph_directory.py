"""A tenant behind the part of Microsoft Graph that infra/register_api.py uses, over HTTP.

It has the rules of Entra ID that a registration can break: a scope and a role of one value must be
equal, what is enabled can be neither changed nor removed, clients are pre-authorised for published
scopes only, roles are for certain kinds of holders. What was created stays unknown for some
requests, as it does to replicas of Entra ID.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "token-of-the-azure-cli"
_MATCHING = {
    "description": "adminConsentDescription",
    "displayName": "adminConsentDisplayName",
    "isEnabled": "isEnabled",
    "value": "value",
}
# What may be changed in a permission that is enabled.
_FREE = {*_MATCHING, *_MATCHING.values()} - {"value"}


class Refused(Exception):
    """An error answer: status, code, message."""


def _no(message: str, code: str = "Request_BadRequest", status: int = 400) -> Refused:
    return Refused(status, code, message)


def _missing(what: str) -> Refused:
    return _no(f"Resource '{what}' does not exist.", "Request_ResourceNotFound", 404)


@dataclass
class Tenant:
    """What is registered, which requests came, and how the tenant misbehaves.

    `lag`: for so many requests a new object is unknown. `throttle`: so many requests get 429.
    `broken`: a request whose "METHOD path" holds this text gets 403.
    """

    root: str = ""
    me: str = field(default_factory=lambda: str(uuid.uuid4()))
    users: set[str] = field(default_factory=set)
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, list[str]] = field(default_factory=dict)
    principals: dict[str, dict[str, Any]] = field(default_factory=dict)
    assignments: list[dict[str, str]] = field(default_factory=list)
    requests: list[tuple[str, float]] = field(default_factory=list)
    lag: int = 0
    throttle: int = 0
    broken: str | None = None
    unknown: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.users.add(self.me)

    def add_application(self, name: str, owner: str) -> dict[str, Any]:
        """Register one; a client id and an object id are made."""
        made: dict[str, Any] = {"id": str(uuid.uuid4()), "appId": str(uuid.uuid4())}
        made |= {"displayName": name, "identifierUris": [], "appRoles": [], "api": {}}
        self.applications[made["appId"]] = made
        self.owners[made["id"]] = [owner]
        self.unknown[made["appId"]] = self.lag
        return made

    @property
    def only(self) -> dict[str, Any]:
        """The one application there is."""
        (application,) = self.applications.values()
        return application

    def sent(self, start: str) -> list[str]:
        """The requests, as "METHOD path", that begin so."""
        return [request for request, _ in self.requests if request.startswith(start)]

    # --- answering ---

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Carry one request out; raises Refused."""
        parts = urlsplit(target)
        path, query = unquote(parts.path).removeprefix("/v1.0"), parse_qs(parts.query)
        self.requests.append((f"{method} {path}", time.monotonic()))
        if self.throttle:
            self.throttle -= 1
            raise _no("Too many requests.", "TooManyRequests", 429)
        if self.broken is not None and self.broken in f"{method} {path}":
            raise _no("Insufficient privileges.", "Authorization_RequestDenied", 403)
        for pattern, act in _ROUTES.items():
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                return act(self, query, body, *match.groups())
        raise _no(f"Resource not found for the segment '{path}'.", "BadRequest")

    def known(self, key: str) -> None:
        """Raise Refused while a new object is unknown."""
        if self.unknown.get(key, 0):
            self.unknown[key] -= 1
            raise _missing(key)

    def application(self, client_id: str) -> dict[str, Any]:
        """Return an application; raises Refused."""
        self.known(client_id)
        if client_id not in self.applications:
            raise _missing(client_id)
        return self.applications[client_id]


def _filtered(query: dict[str, list[str]], name: str) -> str:
    match = re.fullmatch(rf"{name} eq '((?:[^']|'')*)'", query["$filter"][0])
    if match is None:
        raise _no("Invalid filter clause")
    return match[1].replace("''", "'")


def _me(tenant: Tenant, _query: Any, _body: Any) -> tuple[int, Any]:
    return 200, {"id": tenant.me}


def _find_applications(tenant: Tenant, query: Any, _body: Any) -> tuple[int, Any]:
    name = _filtered(query, "displayName")
    found = [each for each in tenant.applications.values() if each["displayName"] == name]
    return 200, {"value": found}


def _create_application(tenant: Tenant, _query: Any, body: Any) -> tuple[int, Any]:
    return 201, tenant.add_application(body["displayName"], tenant.me)


def _read_application(tenant: Tenant, _query: Any, _body: Any, client_id: str) -> tuple[int, Any]:
    found = json.loads(json.dumps(tenant.application(client_id)))
    for role in found["appRoles"]:
        role["origin"] = "Application"
    return 200, found


def _read_owners(tenant: Tenant, _query: Any, _body: Any, object_id: str) -> tuple[int, Any]:
    return 200, {"value": [{"id": owner} for owner in tenant.owners[object_id]]}


def _update_application(tenant: Tenant, _query: Any, body: Any, client_id: str) -> tuple[int, Any]:
    found = tenant.application(client_id)
    known = {"signInAudience", "identifierUris", "api", "appRoles"}
    if set(body) - known:
        raise _no(f"Unknown property '{(set(body) - known).pop()}'.")
    new = {**found, **body, "api": {**found["api"], **body.get("api", {})}}
    old_scopes, scopes = (each["api"].get("oauth2PermissionScopes", []) for each in (found, new))
    roles = new["appRoles"]
    _check_permissions(scopes, roles)
    _check_changes([*old_scopes, *found["appRoles"]], [*scopes, *roles])
    published = {scope["id"] for scope in old_scopes}
    for client in body.get("api", {}).get("preAuthorizedApplications", []):
        if not set(client["delegatedPermissionIds"]) <= published:
            raise _no("Property delegatedPermissionIds holds an id that is not published.")
    tenant.applications[client_id] = new
    return 204, None


def _check_permissions(scopes: list[dict[str, Any]], roles: list[dict[str, Any]]) -> None:
    for entries in (scopes, roles):
        for key in ("id", "value"):
            named = [entry[key] for entry in entries]
            if len(set(named)) != len(named):
                raise _no("It contains duplicate value. Please Provide unique value.")
        if any("origin" in entry for entry in entries):
            raise _no("Property 'origin' is read-only.")
    for scope in scopes:
        for role in roles:
            if scope["id"] == role["id"]:
                if any(role[one] != scope[other] for one, other in _MATCHING.items()):
                    raise _no("The following values must match for scopes and roles of one id.")
            elif scope["value"] == role["value"]:
                raise _no("It contains duplicate value. Please Provide unique value.")


def _check_changes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    def fixed(entry: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if key not in _FREE}

    for entry in old:
        if entry["isEnabled"] and fixed(entry) not in [fixed(each) for each in new]:
            raise _no(
                "Permission (scope or role) cannot be deleted or updated unless disabled first.",
                "CannotDeleteOrUpdateEnabledEntitlement",
            )


def _find_principals(tenant: Tenant, query: Any, _body: Any) -> tuple[int, Any]:
    client_id = _filtered(query, "appId")
    return 200, {"value": [p for p in tenant.principals.values() if p["appId"] == client_id]}


def _create_principal(tenant: Tenant, _query: Any, body: Any) -> tuple[int, Any]:
    client_id = body["appId"]
    if tenant.unknown.get(f"for {client_id}", tenant.lag):
        tenant.unknown[f"for {client_id}"] = tenant.unknown.get(f"for {client_id}", tenant.lag) - 1
        raise _no(
            f"The appId '{client_id}' of the service principal does not reference a valid "
            "application object.",
            "NoBackingApplicationObject",
        )
    tenant.application(client_id)
    if any(each["appId"] == client_id for each in tenant.principals.values()):
        raise _no("The service principal name is in use.", "Request_Conflict", 409)
    made = {"id": str(uuid.uuid4()), "appRoleAssignmentRequired": False, **body}
    tenant.principals[made["id"]] = made
    tenant.unknown[made["id"]] = tenant.lag
    return 201, made


def _update_principal(tenant: Tenant, _query: Any, body: Any, object_id: str) -> tuple[int, Any]:
    tenant.known(object_id)
    tenant.principals[object_id] |= body
    return 204, None


def _read_assignments(tenant: Tenant, query: Any, _body: Any, object_id: str) -> tuple[int, Any]:
    """Pages of one entry."""
    tenant.known(object_id)
    held = [each for each in tenant.assignments if each["resourceId"] == object_id]
    at = int(query.get("$skiptoken", ["0"])[0])
    page: dict[str, Any] = {"value": held[at : at + 1]}
    if at + 1 < len(held):
        path = f"servicePrincipals/{object_id}/appRoleAssignedTo"
        page["@odata.nextLink"] = f"{tenant.root}/v1.0/{path}?$skiptoken={at + 1}"
    return 200, page


def _create_assignment(tenant: Tenant, _query: Any, body: Any, object_id: str) -> tuple[int, Any]:
    application = tenant.applications[tenant.principals[object_id]["appId"]]
    roles = {role["id"]: role for role in application["appRoles"] if role["isEnabled"]}
    if tenant.unknown.get("roles", tenant.lag):
        tenant.unknown["roles"] = tenant.unknown.get("roles", tenant.lag) - 1
        roles = {}
    if body["appRoleId"] not in roles:
        raise _no(f"Permission being assigned was not found on application '{object_id}'.")
    kind = "User" if body["principalId"] in tenant.users else "Application"
    if kind not in roles[body["appRoleId"]]["allowedMemberTypes"]:
        raise _no("The role cannot be assigned to this kind of principal.")
    if body in tenant.assignments:
        raise _no("Permission being assigned already exists on the object.")
    tenant.assignments.append(body)
    return 201, body


_BY_CLIENT = r"/applications\(appId='([0-9a-f-]{36})'\)"
_ROUTES: dict[str, Callable[..., tuple[int, Any]]] = {
    r"GET /me": _me,
    r"GET /applications": _find_applications,
    r"POST /applications": _create_application,
    rf"GET {_BY_CLIENT}": _read_application,
    rf"PATCH {_BY_CLIENT}": _update_application,
    r"GET /applications/([0-9a-f-]{36})/owners": _read_owners,
    r"GET /servicePrincipals": _find_principals,
    r"POST /servicePrincipals": _create_principal,
    r"PATCH /servicePrincipals/([0-9a-f-]{36})": _update_principal,
    r"GET /servicePrincipals/([0-9a-f-]{36})/appRoleAssignedTo": _read_assignments,
    r"POST /servicePrincipals/([0-9a-f-]{36})/appRoleAssignedTo": _create_assignment,
}


@contextmanager
def serving(tenant: Tenant) -> Iterator[Tenant]:
    """Serve a tenant on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise _no("Access token is empty.", "InvalidAuthenticationToken", 401)
                body = json.loads(text) if text else None
                status, value = tenant.answer(self.command, self.path, body)
            except Refused as refused:
                status, code, message = refused.args
                value = {"error": {"code": code, "message": message}}
            sent = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tenant.root = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield tenant
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
