"""Prints an access token for the local service: `python -m local.access_token`.

Not called token.py: the standard library has a module of that name, which scripts in this folder
would no longer find.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.clock import ahead_in
from local.config import LocalConfig, LocalConfigError
from local.issuer import IssuerError, claims, sign, signing_key
from shared.domain import permissions
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import as_guid
from shared.domain.permissions import Permission

READ = (permissions.FLOW_READ, permissions.READ_BASIC, permissions.DEFINITION_READ)
MAX_LIFETIME = 24 * 3600


def all_roles() -> tuple[str, ...]:
    """Every application role that some operation asks for."""
    needed = [value for value in vars(permissions).values() if isinstance(value, Permission)]
    return tuple(sorted({role for permission in needed for role in permission.application}))


def application_token(config: LocalConfig, *roles: str, tenant: str = LOCAL_TENANT) -> str:
    """Return a token of an application with these roles, or with all there are."""
    ahead = ahead_in(config.local_state)
    payload = claims(config.issuer, roles=roles or all_roles(), ahead=ahead, tenant=tenant)
    return sign(payload, signing_key(config.local_state / "issuer"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 2 with a sentence on stderr when no token can be made."""
    parser = argparse.ArgumentParser(prog="python -m local.access_token", description=__doc__)
    parser.add_argument(
        "--roles",
        nargs="+",
        help="an application's token with these roles; with --scopes: the roles of the user",
    )
    parser.add_argument(
        "--scopes",
        nargs="+",
        help="a user's token with these delegated scopes; it writes only with --roles as well",
    )
    parser.add_argument("--read", action="store_true", help="an application's token for reading")
    parser.add_argument("--expires", type=int, default=3600, help="seconds (default: 3600)")
    parser.add_argument(
        "--tenant",
        default=LOCAL_TENANT,
        help="whose token (default: %(default)s); the service takes those of AUTH_TENANTS",
    )
    parser.add_argument(
        "--authority",
        help="the issuer's base URL (default: AUTH_AUTHORITY, else by ISSUER_PORT)",
    )
    parser.add_argument(
        "--state", type=Path, help="the issuer's folder (default: issuer in LOCAL_STATE)"
    )
    given = parser.parse_args(arguments)
    if not 0 < given.expires <= MAX_LIFETIME:
        parser.error(f"--expires {given.expires}: give 1 to {MAX_LIFETIME} seconds")
    if given.read and (given.roles or given.scopes):
        parser.error("--read chooses the roles itself: leave out --roles and --scopes")
    tenant = as_guid(given.tenant)
    if tenant is None:
        parser.error(f"--tenant {given.tenant}: give a tenant's id, a GUID")
    roles = READ if given.read else tuple(given.roles or ())
    if not (roles or given.scopes):
        roles = all_roles()
    try:
        config = LocalConfig.read(os.environ)
        issued_by = given.authority or os.environ.get("AUTH_AUTHORITY") or config.issuer
        state = given.state or config.local_state / "issuer"
        payload = claims(
            issued_by.rstrip("/"),
            roles=roles,
            scopes=given.scopes or (),
            lifetime=given.expires,
            ahead=ahead_in(state.parent),
            tenant=tenant,
        )
        print(sign(payload, signing_key(state)))
    except (IssuerError, LocalConfigError) as exc:
        print(exc, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
