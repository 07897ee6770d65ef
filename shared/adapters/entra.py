"""Who calls, and what may they do: Entra ID access tokens checked against settings.

Nothing here trusts a token before its signature holds. Until then its claims only choose among
configured tenants, and every refusal reads the same.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from shared.adapters.signing_keys import SigningKeys
from shared.domain.context import LOCAL_TENANT, MAX_TENANTS, Caller, Kind
from shared.domain.errors import Forbidden, SettingsError, Unauthenticated
from shared.domain.ids import as_guid
from shared.domain.permissions import Permission

ENTRA: Final = "https://login.microsoftonline.com"
_CHINA: Final = "https://login.partner.microsoftonline.cn"
# Under which hosts the tokens of versions 1 and 2 name their issuer, by authority. Bicep's
# environment() names the former host of the cloud in China, whose tokens name the present one.
_ISSUERS: Final = {
    ENTRA: ("https://sts.windows.net", ENTRA),
    "https://login.microsoftonline.us": (
        "https://sts.windows.net",
        "https://login.microsoftonline.us",
    ),
    "https://login.chinacloudapi.cn": ("https://sts.chinacloudapi.cn", _CHINA),
    _CHINA: ("https://sts.chinacloudapi.cn", _CHINA),
}
_GRAPH_ID: Final = "00000003-0000-0000-c000-000000000000"
_PERSONAL_ACCOUNTS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"

IN_AZURE: Final = (
    "WEBSITE_SITE_NAME",
    "WEBSITE_INSTANCE_ID",
    "WEBSITE_SKU",
    "WEBSITE_SKU_NAME",
    "WEBSITE_POD_NAME",
    "LEGION_SERVICE_HOST",
    "CONTAINER_APP_NAME",
    "FUNCTIONS_EXTENSION_VERSION",
)
"""Variables of which each Functions plan sets some, and `func start` none.

On Flex Consumption, by the host's source, WEBSITE_INSTANCE_ID is empty, while WEBSITE_SKU
and LEGION_SERVICE_HOST are set. WEBSITE_HOSTNAME would not do: `func start` sets it. Neither would
CONTAINER_NAME: development containers have it.
"""

MAX_TOKEN_CHARACTERS: Final = 16 * 1024
MAX_KEY_ID_CHARACTERS: Final = 256
# Seconds.
SKEW: Final = 60
REMEMBER: Final = 300
MAX_REMEMBERED: Final = 1000

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_AUTHORITY = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[::1\])(?::[0-9]{1,5})?")
_AUDIENCE = re.compile(r"[a-z][a-z0-9+.-]*://[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+", re.IGNORECASE)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

EMPTY: Final = "Access token is empty."
NOT_WELL_FORMED: Final = "IDX14100: JWT is not well formed."
NOT_IN_TIME: Final = "Access token has expired or is not yet valid."
WRONG_AUDIENCE: Final = "Access token validation failure. Invalid audience."
REFUSED: Final = "Access token validation failure."

_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class AuthSettings:
    """Whose tokens are accepted, and for whom they must be made.

    `required` is False only where AUTH_MODE=off was set on a machine of one's own.
    """

    required: bool
    tenants: tuple[str, ...]
    """In lower case, in the order of AUTH_TENANTS. There is at least one."""
    audiences: frozenset[str]
    authority: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> AuthSettings:
        """Build from the whole environment; raises SettingsError that names every fault.

        What is missing is a fault, and never admits more callers.
        """
        values = {name: value.strip() for name, value in environ.items()}
        hosted = [name for name in IN_AZURE if values.get(name)]
        faults: list[str] = []
        mode = values.get("AUTH_MODE", "").lower()
        if mode not in ("", "required", "off"):
            faults.append("AUTH_MODE must be 'required', which is the default, or 'off'.")
        if mode == "off":
            faults.extend(_off_faults(values, hosted))
        authority = (values.get("AUTH_AUTHORITY") or ENTRA).rstrip("/")
        faults.extend(_authority_faults(authority, hosted))
        tenants = _list(values.get("AUTH_TENANTS", ""))
        audiences = _list(values.get("AUTH_AUDIENCES", ""))
        if mode != "off" and not tenants:
            faults.append("Set AUTH_TENANTS: the ids of the tenants whose tokens are accepted.")
        if mode != "off" and not audiences:
            faults.append("Set AUTH_AUDIENCES: this API's application id URI, client id, or both.")
        if len(tenants) > MAX_TENANTS:
            faults.append(f"AUTH_TENANTS holds {len(tenants)} tenants; at most {MAX_TENANTS} can.")
        for tenant in tenants[:MAX_TENANTS]:
            faults.extend(_tenant_faults(tenant))
        for audience in audiences:
            faults.extend(_audience_faults(audience))
        if faults:
            raise SettingsError(" ".join(dict.fromkeys(faults)))
        return cls(
            required=mode != "off",
            tenants=tuple(dict.fromkeys(t.lower() for t in tenants)) or (LOCAL_TENANT,),
            audiences=frozenset(_plain_audience(audience) for audience in audiences),
            authority=authority,
        )

    def issuers(self, tenant: str) -> tuple[str, str]:
        """Return what `iss` is in this tenant's tokens of version 1 and of version 2."""
        first, second = _ISSUERS.get(self.authority, (self.authority, self.authority))
        return f"{first}/{tenant}/", f"{second}/{tenant}/v2.0"

    @property
    def challenge(self) -> str:
        """The value of WWW-Authenticate on a 401; with Entra as the authority it is Graph's own."""
        return (
            f'Bearer realm="", authorization_uri="{self.authority}/common/oauth2/authorize", '
            f'client_id="{_GRAPH_ID}"'
        )


def _list(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _off_faults(values: Mapping[str, str], hosted: list[str]) -> list[str]:
    faults = []
    if hosted:
        faults.append(
            f"Remove AUTH_MODE=off: it is for local use, and {', '.join(hosted)} shows that this "
            "is Azure."
        )
    # Unchecked callers may reach what is on this machine, and no real store.
    if _host(values.get("COSMOS_ENDPOINT", "")) not in _LOOPBACK:
        faults.append(
            "Remove AUTH_MODE=off: it needs COSMOS_ENDPOINT to be an emulator on this machine."
        )
    return faults


def _authority_faults(authority: str, hosted: list[str]) -> list[str]:
    if _AUTHORITY.fullmatch(authority) is None or _host(authority) is None:
        return ["AUTH_AUTHORITY must be an https URL without a path, such as " + ENTRA + "."]
    if authority.startswith("https://"):
        return []
    if _host(authority) not in _LOOPBACK:
        return ["AUTH_AUTHORITY must use https, except for the issuer on this machine."]
    if hosted:
        return ["AUTH_AUTHORITY must use https in Azure."]
    return []


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one above 65535
    except ValueError:
        return None
    return parts.hostname


def _tenant_faults(tenant: str) -> list[str]:
    if as_guid(tenant) is None:
        return ["AUTH_TENANTS must hold tenant ids (GUIDs), joined by commas; no names, no common."]
    if tenant.lower() == _PERSONAL_ACCOUNTS:
        return ["Remove the tenant of personal Microsoft accounts from AUTH_TENANTS."]
    return []


def _audience_faults(audience: str) -> list[str]:
    if _GRAPH_ID in audience.lower() or _host(audience) == "graph.microsoft.com":
        return [
            "AUTH_AUDIENCES cannot be Microsoft Graph: register this API in Entra ID and name it."
        ]
    if as_guid(audience) is None and _AUDIENCE.fullmatch(audience) is None:
        return ["AUTH_AUDIENCES must hold application id URIs or client ids, joined by commas."]
    return []


def _plain_audience(audience: str) -> str:
    """An audience as it is compared: a client id in lower case, a URI without its last slash."""
    return as_guid(audience) or audience.removesuffix("/")


@dataclass(frozen=True)
class _Verified:
    """A token whose signature and claims hold, without the token."""

    caller: Caller
    scopes: frozenset[str]
    roles: frozenset[str]
    expires: int

    def may(self, needs: Permission) -> bool:
        """Whether the token suffices for an operation with these needs."""
        if self.caller.kind == "delegated":
            return needs.allows_user(self.scopes, self.roles)
        return needs.allows_application(self.roles)


class _Refusal(Exception):
    """A token is refused; becomes Unauthenticated."""

    def __init__(self, reason: str, message: str = REFUSED) -> None:
        self.reason, self.message = reason, message
        super().__init__(reason)


class Authorizer:
    """Checks access tokens and permissions. One for the process: it remembers checked tokens.

    The header with a token is remembered by its hash for at most five minutes, so that a busy
    client costs one signature check in that time, and a key that its issuer withdrew is not trusted
    for longer.
    """

    def __init__(
        self, settings: AuthSettings, keys: SigningKeys, *, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._now = now
        self._remembered: OrderedDict[bytes, tuple[float, _Verified]] = OrderedDict()

    async def authorize(self, authorization: str | None, needs: Permission) -> Caller:
        """Return who calls, from the value of the Authorization header.

        Raises Unauthenticated, Forbidden, or KeysUnavailable while no token can be checked.
        """
        if not self._settings.required:
            return Caller("unchecked", self._settings.tenants[0])
        try:
            verified = await self._verify(authorization or "")
        except _Refusal as exc:
            raise Unauthenticated(exc.message, exc.reason, self._settings.challenge) from None
        if not verified.may(needs):
            raise Forbidden(verified.caller)
        return verified.caller

    async def probe(self) -> None:
        """Raise KeysUnavailable where no token of the first allowed tenant can be checked."""
        if self._settings.required:
            await self._keys.probe(self._settings.tenants[0])

    async def _verify(self, authorization: str) -> _Verified:
        digest = hashlib.sha256(authorization.encode(errors="backslashreplace")).digest()
        until, verified = self._remembered.get(digest, (0.0, None))
        if verified is not None and self._now() < until:
            self._remembered.move_to_end(digest)
            return verified
        verified = await self._check(_bearer_token(authorization))
        self._remembered[digest] = (min(verified.expires, self._now() + REMEMBER), verified)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return verified

    async def _check(self, token: str) -> _Verified:
        header, claims = _parse(token)
        tenant = self._tenant(claims)
        key = await self._keys.find(tenant, _key_id(header))
        if key is None:
            raise _Refusal("unknown key id")
        import jwt

        try:
            jwt.PyJWS().decode_complete(token, key, algorithms=["RS256"])
        except jwt.PyJWTError:
            raise _Refusal("bad signature") from None
        # From here on the claims are the issuer's own, and a refusal may say what is wrong.
        self._check_lifetime(claims)
        audience = claims.get("aud")
        if not isinstance(audience, str) or (
            _plain_audience(audience) not in self._settings.audiences
        ):
            raise _Refusal("wrong audience", WRONG_AUDIENCE)
        return _verified(tenant, claims)

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or tenant not in self._settings.tenants:
            raise _Refusal("tenant is not allowed")
        if claims.get("iss") not in self._settings.issuers(tenant):
            raise _Refusal("wrong issuer")
        return tenant

    def _check_lifetime(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        expires, starts, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
        if now >= expires + SKEW:
            raise _Refusal("expired", NOT_IN_TIME)
        if now < max(starts, issued) - SKEW:
            raise _Refusal("not yet valid", NOT_IN_TIME)


def _bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _Refusal("no bearer token", EMPTY)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise _Refusal("oversized token")
    if _COMPACT.fullmatch(token) is None:
        raise _Refusal("not a JWT", NOT_WELL_FORMED)
    return token


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not to be trusted yet; all of the header but the key id is checked."""
    import jwt

    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.DecodeError:
        raise _Refusal("not a JWT", NOT_WELL_FORMED) from None
    except jwt.PyJWTError:
        raise _Refusal("unusable header") from None
    header, claims = parts["header"], parts["payload"]
    if header.get("alg") != "RS256":
        raise _Refusal("algorithm is not RS256")
    # Neither does Entra use, and what they ask for is not done here.
    if "crit" in header or "b64" in header:
        raise _Refusal("critical header")
    return header, claims


def _key_id(header: Mapping[str, Any]) -> str:
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_CHARACTERS:
        raise _Refusal("no key id")
    return key_id


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Refusal(f"no usable {name}")
    return value


def _verified(tenant: str, claims: Mapping[str, Any]) -> _Verified:
    # Access tokens name the client: azp in version 2, appid in version 1. ID tokens have neither.
    app_id = _guid(claims.get("azp")) or _guid(claims.get("appid"))
    if app_id is None:
        raise _Refusal("no client id")
    kind, scopes, roles = _grants(claims)
    caller = Caller(kind, tenant=tenant, object_id=_guid(claims.get("oid")), app_id=app_id)
    return _Verified(caller, scopes, roles, claims["exp"])


def _grants(claims: Mapping[str, Any]) -> tuple[Kind, frozenset[str], frozenset[str]]:
    """On whose behalf the token's bearer calls, and the scopes and roles that count for it.

    `roles` holds the application's roles in a token of an application itself, and in a user's token
    those that the user was assigned, which are not consent for the client. `idtyp` tells the two
    apart where the API asks Entra for that claim; else an application's token is the one whose
    subject is its own object.
    """
    scp, listed = claims.get("scp"), claims.get("roles")
    listed = listed if isinstance(listed, list) else []
    roles = frozenset(role for role in listed if isinstance(role, str))
    id_type, subject = claims.get("idtyp"), claims.get("sub")
    if isinstance(scp, str) and scp.strip():
        # An application's own token has no scopes: one with both is good for nothing.
        return "delegated", frozenset(scp.split()) if id_type != "app" else _NONE, roles
    own = id_type == "app" or (
        id_type is None and isinstance(subject, str) and subject == claims.get("oid")
    )
    return "application" if own else "delegated", _NONE, roles


def _guid(value: object) -> str | None:
    return as_guid(value) if isinstance(value, str) else None
