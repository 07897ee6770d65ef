"""Tokens and headers that must be refused, as a table: for tests of the check and the handlers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from local.issuer import LOCAL_AUDIENCE, claims, public_jwk
from shared.adapters.entra import (
    EMPTY,
    MAX_KEY_ID_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    NOT_IN_TIME,
    NOT_WELL_FORMED,
    REFUSED,
    WRONG_AUDIENCE,
)
from shared.domain.context import LOCAL_TENANT
from shared.domain.permissions import (
    DEFINITION_READ,
    DEFINITION_WRITE,
    FLOW_READ,
    FLOW_WRITE,
    OUTBOUND_FLOW_READ,
    OUTBOUND_FLOW_WRITE,
    PASSWORD_READ,
    PASSWORD_READ_ROLE,
    READ_BASIC,
    REFERENCE_GET,
    REFERENCE_LIST,
    REFERENCE_WRITE,
    ROLE_GROUP_GET,
    ROLE_GROUP_LIST,
    ROLE_GROUP_WRITE,
    Permission,
)

OTHER_TENANT = "7e7e7e7e-0000-4000-8000-000000000009"
ABSENT: Any = object()

Sign = Callable[[bytes], bytes]


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def rs256(key: rsa.RSAPrivateKey) -> Sign:
    """What signs as RS256."""
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def compact(header: object, payload: object, sign: Sign) -> str:
    """A signed token whose header and payload are any JSON, or bytes taken as they are."""
    head, body = (
        encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    )
    return f"{head}.{body}.{encode(sign(f'{head}.{body}'.encode()))}"


class Forge:
    """Makes good tokens, and bad ones that differ from a good one in one point."""

    def __init__(self, authority: str, key: rsa.RSAPrivateKey) -> None:
        self.authority = authority
        self.key = key
        self.key_id = public_jwk(key.public_key())["kid"]
        self.foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of an application that may write flows, with changes; ABSENT removes one."""
        return _changed(claims(self.authority, roles=[FLOW_WRITE]), changes)

    def user_claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a user who may write flows, by a client that may, with changes."""
        return _changed(claims(self.authority, scopes=[FLOW_WRITE], roles=[FLOW_WRITE]), changes)

    def header(self, **changes: Any) -> dict[str, Any]:
        """The header of a good token, with changes."""
        return _changed({"typ": "JWT", "alg": "RS256", "kid": self.key_id}, changes)

    def token(self, header: object = None, payload: object = None, sign: Sign | None = None) -> str:
        """A token that is good where nothing is given."""
        return compact(
            self.header() if header is None else header,
            self.claims() if payload is None else payload,
            sign or rs256(self.key),
        )

    def public_pem(self) -> bytes:
        """The public key as text, which HS256 must not take for a secret."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not ABSENT}


@dataclass(frozen=True)
class Bad:
    """One refused Authorization header (None: there is none) and what the answer says."""

    name: str
    build: Callable[[Forge], str | None]
    message: str


def _claim(name: str, message: str, **changes: Any) -> Bad:
    return Bad(name, lambda f: f"Bearer {f.token(payload=f.claims(**changes))}", message)


def _shifted(name: str, message: str, **seconds: int) -> Bad:
    """A time claim moved by so many seconds from now."""

    def build(forge: Forge) -> str:
        now = forge.claims()["iat"]
        moved = {claim: now + offset for claim, offset in seconds.items()}
        return f"Bearer {forge.token(payload=forge.claims(**moved))}"

    return Bad(name, build, message)


def _issuer(name: str, build: Callable[[Forge], Any]) -> Bad:
    return Bad(name, lambda f: f"Bearer {f.token(payload=f.claims(iss=build(f)))}", REFUSED)


def _head(name: str, message: str, **changes: Any) -> Bad:
    return Bad(name, lambda f: f"Bearer {f.token(header=f.header(**changes))}", message)


def _text(name: str, header: str | None, message: str) -> Bad:
    return Bad(name, lambda _: header, message)


def _token(name: str, build: Callable[[Forge], str], message: str = REFUSED) -> Bad:
    return Bad(name, lambda f: f"Bearer {build(f)}", message)


def _hs256(secret: bytes) -> Sign:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def _unsigned(_: bytes) -> bytes:
    return b""


def _pss(key: rsa.RSAPrivateKey) -> Sign:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    return lambda data: key.sign(data, pss, hashes.SHA256())


def _ecdsa(data: bytes) -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).sign(data, ec.ECDSA(hashes.SHA256()))


def _with_signature(token: str, change: Callable[[str], str]) -> str:
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{change(signature)}"


def _other_claims_under(token: str, payload: object) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{encode(json.dumps(payload).encode())}.{signature}"


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _spare_bit_set(signature: str) -> str:
    """The same bytes in other text: 342 characters have four bits more than 256 bytes."""
    return signature[:-1] + _ALPHABET[_ALPHABET.index(signature[-1]) ^ 1]


NO_TOKEN = [
    _text("no header", None, EMPTY),
    _text("empty header", "", EMPTY),
    _text("scheme alone", "Bearer", EMPTY),
    _text("scheme and spaces", "Bearer    ", EMPTY),
    _text("basic credentials", "Basic dXNlcjpwYXNzd29yZA==", EMPTY),
    _text("another scheme", "Negotiate YII", EMPTY),
    Bad("token without scheme", lambda f: f.token(), EMPTY),
    Bad("scheme with a colon", lambda f: f"Bearer: {f.token()}", EMPTY),
    Bad("token as a password", lambda f: f"Basic {f.token()}", EMPTY),
]

NOT_A_TOKEN = [
    _text("a word", "Bearer abc", NOT_WELL_FORMED),
    _text("two parts", "Bearer eyJhIjoxfQ.eyJhIjoxfQ", NOT_WELL_FORMED),
    _text("only dots", "Bearer ..", NOT_WELL_FORMED),
    _text("a null", "Bearer null", NOT_WELL_FORMED),
    _token("four parts", lambda f: f"{f.token()}.abcd", NOT_WELL_FORMED),
    _token("encrypted form", lambda f: f"{f.token()}.abcd.abcd", NOT_WELL_FORMED),
    _token("two tokens", lambda f: f"{f.token()},{f.token()}", NOT_WELL_FORMED),
    _token("two tokens and a space", lambda f: f"{f.token()} {f.token()}", NOT_WELL_FORMED),
    _token("quoted token", lambda f: f'"{f.token()}"', NOT_WELL_FORMED),
    _token("padded token", lambda f: f"{f.token()}==", NOT_WELL_FORMED),
    _token("no header part", lambda f: "." + f.token().partition(".")[2], NOT_WELL_FORMED),
    _token("header that ends early", lambda f: f.token()[5:], NOT_WELL_FORMED),
    _token("header is not JSON", lambda f: f.token(header=b"{alg}"), NOT_WELL_FORMED),
    _token("header is a list", lambda f: f.token(header=[1]), NOT_WELL_FORMED),
    _token("header is text", lambda f: f.token(header="RS256"), NOT_WELL_FORMED),
    _token("header is not UTF-8", lambda f: f.token(header=b"\xff\xfe{}"), NOT_WELL_FORMED),
    _token("header is deep", lambda f: f.token(header=b"[" * 6000), NOT_WELL_FORMED),
    _token("claims are not JSON", lambda f: f.token(payload=b"claims"), NOT_WELL_FORMED),
    _token("claims are a list", lambda f: f.token(payload=[f.claims()]), NOT_WELL_FORMED),
    _token("claims are null", lambda f: f.token(payload=b"null"), NOT_WELL_FORMED),
    _token("claims are deep", lambda f: f.token(payload=b'{"a":' * 2000), NOT_WELL_FORMED),
    _token(
        "a claim with too many digits",
        lambda f: f.token(payload=b'{"exp":' + b"9" * 5000 + b"}"),
        NOT_WELL_FORMED,
    ),
]

ALGORITHMS = [
    _token("none", lambda f: f.token(f.header(alg="none"), sign=_unsigned)),
    _token("None", lambda f: f.token(f.header(alg="None"), sign=_unsigned)),
    _token("nOnE", lambda f: f.token(f.header(alg="nOnE"), sign=_unsigned)),
    _head("none and a signature", REFUSED, alg="none"),
    _token("none without key id", lambda f: f.token({"alg": "none"}, sign=_unsigned)),
    _token(
        "HS256 by the public key",
        lambda f: f.token(f.header(alg="HS256"), sign=_hs256(f.public_pem())),
    ),
    _token("HS256 by nothing", lambda f: f.token(f.header(alg="HS256"), sign=_hs256(b""))),
    _token(
        "HS256 by the modulus",
        lambda f: f.token(
            f.header(alg="HS256"), sign=_hs256(public_jwk(f.key.public_key())["n"].encode())
        ),
    ),
    _token("RS256 that is HS256", lambda f: f.token(sign=_hs256(f.public_pem()))),
    _token("PS256", lambda f: f.token(f.header(alg="PS256"), sign=_pss(f.key))),
    _token("RS256 that is PS256", lambda f: f.token(sign=_pss(f.key))),
    _token("ES256", lambda f: f.token(f.header(alg="ES256"), sign=_ecdsa)),
    _head("RS384", REFUSED, alg="RS384"),
    _head("RS512", REFUSED, alg="RS512"),
    _head("rs256", REFUSED, alg="rs256"),
    _head("no algorithm", REFUSED, alg=ABSENT),
    _head("null algorithm", REFUSED, alg=None),
    _head("a list of algorithms", REFUSED, alg=["RS256"]),
]

HEADERS = [
    _head("no key id", REFUSED, kid=ABSENT),
    _head("empty key id", REFUSED, kid=""),
    _head("null key id", REFUSED, kid=None),
    _head("a number as key id", REFUSED, kid=7),
    _head("a list as key id", REFUSED, kid=["a"]),
    _head("unknown key id", REFUSED, kid="unknown"),
    _head("a path as key id", REFUSED, kid="../../../../dev/null"),
    _head("a query as key id", REFUSED, kid="' OR 1=1 --"),
    _head("long key id", REFUSED, kid="k" * (MAX_KEY_ID_CHARACTERS + 1)),
    _head("critical header", REFUSED, crit=["exp"]),
    _head("critical header that is supported", REFUSED, crit=["b64"], b64=True),
    _head("critical header that is no list", REFUSED, crit="exp"),
    _head("b64 without critical", REFUSED, b64=True),
    _head("detached payload", NOT_WELL_FORMED, b64=False, crit=["b64"]),
    _token(
        "signed by the key it brings, with our key id",
        lambda f: f.token(f.header(jwk=public_jwk(f.foreign.public_key())), sign=rs256(f.foreign)),
    ),
    _token(
        "signed by the key it brings, with its key id",
        lambda f: f.token(
            f.header(
                jwk=public_jwk(f.foreign.public_key()),
                kid=public_jwk(f.foreign.public_key())["kid"],
            ),
            sign=rs256(f.foreign),
        ),
    ),
    _token(
        "signed by a key behind jku",
        lambda f: f.token(f.header(jku="http://127.0.0.1:9/keys"), sign=rs256(f.foreign)),
    ),
    _token(
        "signed by a key behind x5u",
        lambda f: f.token(f.header(x5u="http://127.0.0.1:9/chain"), sign=rs256(f.foreign)),
    ),
    _token(
        "signed by a key in x5c",
        lambda f: f.token(f.header(x5c=["MIIB"]), sign=rs256(f.foreign)),
    ),
]

SIGNATURES = [
    _token("signed with a foreign key", lambda f: f.token(sign=rs256(f.foreign))),
    _token("no signature", lambda f: _with_signature(f.token(), lambda _: "")),
    _token("half a signature", lambda f: _with_signature(f.token(), lambda s: s[:172])),
    _token("longer signature", lambda f: f.token(sign=lambda d: rs256(f.key)(d) + b"\0")),
    _token("zeros as signature", lambda f: f.token(sign=lambda _: b"\0" * 256)),
    _token("ones as signature", lambda f: f.token(sign=lambda _: b"\0" * 255 + b"\1")),
    _token(
        "the signature in other text",
        lambda f: _with_signature(f.token(), _spare_bit_set),
        NOT_WELL_FORMED,
    ),
    _token(
        "more roles under the signature",
        lambda f: _other_claims_under(f.token(), f.claims(roles=[FLOW_WRITE, PASSWORD_READ_ROLE])),
    ),
    _token(
        "a later end under the signature",
        lambda f: _other_claims_under(f.token(), f.claims(exp=f.claims()["exp"] + 1)),
    ),
    _token(
        "another header under the signature",
        lambda f: encode(json.dumps(f.header(x=1)).encode()) + "." + f.token().partition(".")[2],
    ),
    _token(
        "expired, and signed with a foreign key",
        lambda f: f.token(payload=f.claims(exp=1), sign=rs256(f.foreign)),
    ),
    _token(
        "for another audience, and signed with a foreign key",
        lambda f: f.token(payload=f.claims(aud="api://other"), sign=rs256(f.foreign)),
    ),
]

ISSUERS = [
    _claim("no tenant", REFUSED, tid=ABSENT),
    _claim("null tenant", REFUSED, tid=None),
    _claim("a list of tenants", REFUSED, tid=[LOCAL_TENANT]),
    _claim("another tenant", REFUSED, tid=OTHER_TENANT),
    _claim("tenant common", REFUSED, tid="common"),
    _claim("tenant in capitals", REFUSED, tid=LOCAL_TENANT.upper()),
    _claim("a path as tenant", REFUSED, tid=f"../{LOCAL_TENANT}"),
    _claim("no issuer", REFUSED, iss=ABSENT),
    _claim("Entra ID itself, version 1", REFUSED, iss=f"https://sts.windows.net/{LOCAL_TENANT}/"),
    _claim(
        "Entra ID itself, version 2",
        REFUSED,
        iss=f"https://login.microsoftonline.com/{LOCAL_TENANT}/v2.0",
    ),
    _issuer("issuer of another tenant", lambda f: f"{f.authority}/{OTHER_TENANT}/v2.0"),
    _issuer("issuer with a slash", lambda f: f"{f.authority}/{LOCAL_TENANT}/v2.0/"),
    _issuer("issuer on another host", lambda f: f"{f.authority}.example/{LOCAL_TENANT}/v2.0"),
    _issuer("a list of issuers", lambda f: [f"{f.authority}/{LOCAL_TENANT}/v2.0"]),
    _token(
        "another tenant throughout",
        lambda f: f.token(
            payload=f.claims(tid=OTHER_TENANT, iss=f"{f.authority}/{OTHER_TENANT}/v2.0")
        ),
    ),
]

TIMES = [
    _shifted("expired an hour ago", NOT_IN_TIME, exp=-3600),
    _shifted("expired past the skew", NOT_IN_TIME, exp=-61),
    _shifted("valid from tomorrow", NOT_IN_TIME, nbf=86400),
    _shifted("valid from past the skew", NOT_IN_TIME, nbf=120),
    _shifted("issued tomorrow", NOT_IN_TIME, iat=86400),
    _claim("expired in 1970", NOT_IN_TIME, exp=0),
    _claim("expired before 1970", NOT_IN_TIME, exp=-1),
    _claim("no end", REFUSED, exp=ABSENT),
    _claim("null end", REFUSED, exp=None),
    _claim("end as text", REFUSED, exp="4102444800"),
    _claim("end is true", REFUSED, exp=True),
    _claim("end is infinite", REFUSED, exp=float("inf")),
    _claim("end is not a number", REFUSED, exp=float("nan")),
    _claim("no start", REFUSED, nbf=ABSENT),
    _claim("start as text", REFUSED, nbf="0"),
    _claim("no time of issue", REFUSED, iat=ABSENT),
    _claim("time of issue as a list", REFUSED, iat=[0]),
]

AUDIENCES = [
    _claim("no audience", WRONG_AUDIENCE, aud=ABSENT),
    _claim("null audience", WRONG_AUDIENCE, aud=None),
    _claim("another audience", WRONG_AUDIENCE, aud="api://other"),
    _claim("Graph's audience", WRONG_AUDIENCE, aud="https://graph.microsoft.com"),
    _claim("Graph's id", WRONG_AUDIENCE, aud="00000003-0000-0000-c000-000000000000"),
    _claim("longer audience", WRONG_AUDIENCE, aud=f"{LOCAL_AUDIENCE}.example"),
    _claim("shorter audience", WRONG_AUDIENCE, aud=LOCAL_AUDIENCE[:-1]),
    _claim("two slashes", WRONG_AUDIENCE, aud=f"{LOCAL_AUDIENCE}//"),
    _claim("audience in capitals", WRONG_AUDIENCE, aud=LOCAL_AUDIENCE.upper()),
    _claim("a list of audiences", WRONG_AUDIENCE, aud=[LOCAL_AUDIENCE]),
    _claim("an object as audience", WRONG_AUDIENCE, aud={LOCAL_AUDIENCE: 1}),
]

KINDS = [
    _claim("no client id, as in an ID token", REFUSED, azp=ABSENT),
    _claim("client id is no GUID", REFUSED, azp="client"),
    _token(
        "oversized token",
        lambda f: f.token(payload=f.claims(pad="x" * (MAX_TOKEN_CHARACTERS * 3 // 4))),
    ),
    _text("oversized text", "Bearer " + "a" * (MAX_TOKEN_CHARACTERS + 1), REFUSED),
]

BAD = [
    *NO_TOKEN,
    *NOT_A_TOKEN,
    *ALGORITHMS,
    *HEADERS,
    *SIGNATURES,
    *ISSUERS,
    *TIMES,
    *AUDIENCES,
    *KINDS,
]
"""Each is a 401 InvalidAuthenticationToken with WWW-Authenticate; all can be sent over HTTP."""


@dataclass(frozen=True)
class Lacking:
    """Claims of a good token that lacks the permission: a 403 Authorization_RequestDenied."""

    name: str
    build: Callable[[Forge], dict[str, Any]]
    needs: Permission


def _roles(name: str, roles: object, needs: Permission) -> Lacking:
    return Lacking(name, lambda f: f.claims(roles=roles), needs)


def _scopes(name: str, scopes: object, needs: Permission) -> Lacking:
    return Lacking(name, lambda f: f.user_claims(scp=scopes), needs)


def _assigned(name: str, roles: object, needs: Permission, scope: str = FLOW_WRITE) -> Lacking:
    """A user's client with the scope, and what the token says of the user's roles."""
    return Lacking(name, lambda f: f.user_claims(scp=scope, roles=roles), needs)


LACKING = [
    _roles("an application that reads flows writes", [FLOW_READ], OUTBOUND_FLOW_WRITE),
    _roles("an application without roles reads", [], OUTBOUND_FLOW_READ),
    _roles("an application without the claim reads", ABSENT, OUTBOUND_FLOW_READ),
    _roles("roles as text", FLOW_WRITE, OUTBOUND_FLOW_WRITE),
    _roles("roles as an object", {FLOW_WRITE: True}, OUTBOUND_FLOW_WRITE),
    _roles("a list of lists of roles", [[FLOW_WRITE]], OUTBOUND_FLOW_WRITE),
    _roles("a role in lower case", [FLOW_WRITE.lower()], OUTBOUND_FLOW_WRITE),
    _roles("a role and more", [f"{FLOW_WRITE}.Not"], OUTBOUND_FLOW_WRITE),
    _roles("two roles in one text", [f"{FLOW_READ} {FLOW_WRITE}"], OUTBOUND_FLOW_WRITE),
    _roles("definitions do not open flows", [DEFINITION_WRITE], OUTBOUND_FLOW_READ),
    _roles("flows do not open definitions", [FLOW_WRITE], REFERENCE_LIST),
    _roles("basic reading does not open a definition", [READ_BASIC], REFERENCE_GET),
    _roles("basic reading does not open a role group", [READ_BASIC], ROLE_GROUP_GET),
    _roles("reading definitions does not write them", [DEFINITION_READ], REFERENCE_WRITE),
    _roles("reading definitions does not write role groups", [DEFINITION_READ], ROLE_GROUP_WRITE),
    _roles("flows do not open role groups", [FLOW_WRITE], ROLE_GROUP_LIST),
    _roles("writing flows does not show passwords", [FLOW_WRITE], PASSWORD_READ),
    _scopes("a user's client that reads flows writes", FLOW_READ, OUTBOUND_FLOW_WRITE),
    _scopes("a user's client with another scope reads", "User.Read", OUTBOUND_FLOW_READ),
    _scopes("scopes joined by commas", f"{FLOW_READ},{FLOW_WRITE}", OUTBOUND_FLOW_WRITE),
    _scopes("a scope in capitals", FLOW_WRITE.upper(), OUTBOUND_FLOW_WRITE),
    _scopes("scopes as a list", [FLOW_WRITE], OUTBOUND_FLOW_WRITE),
    _scopes("blank scopes", "  ", OUTBOUND_FLOW_READ),
    _scopes("no user may see passwords", PASSWORD_READ_ROLE, PASSWORD_READ),
    _assigned("a user without a role writes flows", ABSENT, OUTBOUND_FLOW_WRITE),
    _assigned("a user with an empty list of roles writes flows", [], OUTBOUND_FLOW_WRITE),
    _assigned("a user whose role reads writes flows", [FLOW_READ], OUTBOUND_FLOW_WRITE),
    _assigned("a user whose role is of definitions", [DEFINITION_WRITE], OUTBOUND_FLOW_WRITE),
    _assigned("a user's role as text", FLOW_WRITE, OUTBOUND_FLOW_WRITE),
    _assigned("a user's role in lower case", [FLOW_WRITE.lower()], OUTBOUND_FLOW_WRITE),
    _assigned(
        "a user without a role writes definitions", ABSENT, REFERENCE_WRITE, DEFINITION_WRITE
    ),
    _assigned(
        "a user without a role writes role groups", ABSENT, ROLE_GROUP_WRITE, DEFINITION_WRITE
    ),
    _assigned(
        "a role of passwords is none for a user", [PASSWORD_READ_ROLE], PASSWORD_READ, FLOW_WRITE
    ),
    Lacking(
        "roles of a user are not consent",
        lambda f: f.user_claims(scp="User.Read", roles=[FLOW_WRITE]),
        OUTBOUND_FLOW_WRITE,
    ),
    Lacking(
        "roles of a user without scopes",
        lambda f: f.user_claims(scp=ABSENT, roles=[FLOW_WRITE], idtyp="user"),
        OUTBOUND_FLOW_WRITE,
    ),
    Lacking(
        "roles where the subject is not the object",
        lambda f: f.claims(idtyp=ABSENT, sub="a user"),
        OUTBOUND_FLOW_WRITE,
    ),
    Lacking(
        "roles where there is neither subject nor object",
        lambda f: f.claims(idtyp=ABSENT, sub=ABSENT, oid=ABSENT),
        OUTBOUND_FLOW_WRITE,
    ),
    Lacking(
        "scopes in an application's token",
        lambda f: f.claims(roles=ABSENT, scp=FLOW_WRITE),
        OUTBOUND_FLOW_WRITE,
    ),
    Lacking(
        "neither roles nor scopes",
        lambda f: f.claims(roles=ABSENT, idtyp=ABSENT),
        OUTBOUND_FLOW_READ,
    ),
]
