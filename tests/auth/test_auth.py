"""Access tokens: what is refused and how, what is accepted, and how signing keys are kept.

Tokens are checked against the real local issuer, a process of its own. Issuers that misbehave are
small HTTP servers here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from local.issuer import (
    KEY_FILE,
    LOCAL_AUDIENCE,
    LOCAL_CLIENT,
    LOCAL_SERVICE_PRINCIPAL,
    LOCAL_USER,
    auth_settings,
    public_jwk,
    signing_key,
)
from shared.adapters import signing_keys
from shared.adapters.entra import (
    ENTRA,
    IN_AZURE,
    MAX_REMEMBERED,
    NOT_IN_TIME,
    REMEMBER,
    SKEW,
    Authorizer,
    AuthSettings,
)
from shared.adapters.signing_keys import KEEP, REFETCH, SigningKeys
from shared.domain import permissions
from shared.domain.context import LOCAL_TENANT, Caller
from shared.domain.errors import Forbidden, KeysUnavailable, SettingsError, Unauthenticated
from shared.domain.permissions import OUTBOUND_FLOW_READ, OUTBOUND_FLOW_WRITE, Permission
from tests.auth.bad_tokens import ABSENT, BAD, LACKING, OTHER_TENANT, Bad, Forge, Lacking, rs256

CLIENT_AUDIENCE = "aaaaaaaa-0000-4000-8000-00000000000a"
SECOND_TENANT = "10ca1000-0000-4000-8000-0000000000ff"
SECONDS = 30.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time


def settings_for(authority: str, **changes: str) -> AuthSettings:
    """Settings for an issuer on this machine."""
    return AuthSettings.read({**auth_settings(1), "AUTH_AUTHORITY": authority, **changes})


# --- The real issuer ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issuer:
    """A running `python -m local.issuer`."""

    authority: str
    state: Path


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    state = tmp_path_factory.mktemp("issuer")
    command = [sys.executable, "-m", "local.issuer", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield Issuer(f"http://{line.split()[-1]}", state)
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


@pytest.fixture(scope="module")
def forge(issuer: Issuer) -> Forge:
    return Forge(issuer.authority, signing_key(issuer.state))


@pytest.fixture(scope="module")
def authorizer(issuer: Issuer) -> Authorizer:
    config = settings_for(
        issuer.authority, AUTH_AUDIENCES=f"{LOCAL_AUDIENCE}, {CLIENT_AUDIENCE.upper()}"
    )
    return Authorizer(config, SigningKeys(config.authority))


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_token_is_refused(authorizer: Authorizer, forge: Forge, bad: Bad) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await authorizer.authorize(bad.build(forge), OUTBOUND_FLOW_READ)

    assert str(refused.value) == bad.message
    assert refused.value.challenge == (
        f'Bearer realm="", authorization_uri="{forge.authority}/common/oauth2/authorize", '
        'client_id="00000003-0000-0000-c000-000000000000"'
    )


def test_the_table_is_as_long_as_promised() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 60


@pytest.mark.parametrize("header", ["Bearer a.b.\ud800", "Bearer é.è.ü", "Bearer a\0.b.c"])
async def test_a_header_that_http_would_not_carry_is_refused(
    authorizer: Authorizer, header: str
) -> None:
    with pytest.raises(Unauthenticated):
        await authorizer.authorize(header, OUTBOUND_FLOW_READ)


@pytest.mark.parametrize("lacking", LACKING, ids=lambda lacking: lacking.name)
async def test_a_caller_without_the_permission_is_refused(
    authorizer: Authorizer, forge: Forge, lacking: Lacking
) -> None:
    token = forge.token(payload=lacking.build(forge))

    with pytest.raises(Forbidden) as refused:
        await authorizer.authorize(f"Bearer {token}", lacking.needs)

    assert str(refused.value) == "Insufficient privileges to complete the operation."
    assert refused.value.caller.app_id == LOCAL_CLIENT


GOOD: dict[str, Callable[[Forge], str]] = {
    "as the issuer makes it": lambda f: f"Bearer {f.token()}",
    "scheme in lower case": lambda f: f"bearer {f.token()}",
    "two spaces": lambda f: f"Bearer  {f.token()} ",
    "no type": lambda f: f"Bearer {f.token(header=f.header(typ=ABSENT))}",
    "unused header of version 1": lambda f: f"Bearer {f.token(header=f.header(x5t='abc'))}",
    "a foreign key that is not used": lambda f: (
        f"Bearer {f.token(header=f.header(jwk=public_jwk(f.foreign.public_key())))}"
    ),
    "version 1": lambda f: (
        "Bearer "
        + f.token(
            payload=f.claims(
                iss=f"{f.authority}/{LOCAL_TENANT}/", azp=ABSENT, appid=LOCAL_CLIENT, ver="1.0"
            )
        )
    ),
    "audience with a slash": lambda f: (
        "Bearer " + f.token(payload=f.claims(aud=f"{LOCAL_AUDIENCE}/"))
    ),
    "client id as audience": lambda f: "Bearer " + f.token(payload=f.claims(aud=CLIENT_AUDIENCE)),
    "no object id": lambda f: "Bearer " + f.token(payload=f.claims(oid=ABSENT)),
    "known by its subject": lambda f: "Bearer " + f.token(payload=f.claims(idtyp=ABSENT)),
    "other roles beside": lambda f: (
        "Bearer " + f.token(payload=f.claims(roles=[1, "Other", permissions.FLOW_WRITE]))
    ),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_token_is_accepted(authorizer: Authorizer, forge: Forge, name: str) -> None:
    caller = await authorizer.authorize(GOOD[name](forge), OUTBOUND_FLOW_WRITE)

    assert (caller.kind, caller.tenant, caller.app_id) == (
        "application",
        LOCAL_TENANT,
        LOCAL_CLIENT,
    )


async def test_an_application_is_named_by_its_ids(authorizer: Authorizer, forge: Forge) -> None:
    caller = await authorizer.authorize(f"Bearer {forge.token()}", OUTBOUND_FLOW_WRITE)

    assert caller == Caller("application", LOCAL_TENANT, LOCAL_SERVICE_PRINCIPAL, LOCAL_CLIENT)


async def test_a_user_is_named_by_its_ids(authorizer: Authorizer, forge: Forge) -> None:
    token = forge.token(payload=forge.user_claims(scp=f"openid {permissions.FLOW_WRITE}"))

    caller = await authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_WRITE)

    assert caller == Caller("delegated", LOCAL_TENANT, LOCAL_USER, LOCAL_CLIENT)


NEEDS = {name: value for name, value in vars(permissions).items() if isinstance(value, Permission)}


@pytest.mark.parametrize(
    ("needs", "role"),
    [(name, role) for name, permission in NEEDS.items() for role in permission.application],
)
async def test_each_listed_role_suffices(
    authorizer: Authorizer, forge: Forge, needs: str, role: str
) -> None:
    token = forge.token(payload=forge.claims(roles=[role]))

    assert (await authorizer.authorize(f"Bearer {token}", NEEDS[needs])).kind == "application"


@pytest.mark.parametrize(
    ("needs", "scope"),
    [(name, scope) for name, permission in NEEDS.items() for scope in permission.delegated],
)
async def test_each_listed_scope_suffices_for_a_user_with_the_role(
    authorizer: Authorizer, forge: Forge, needs: str, scope: str
) -> None:
    token = forge.token(payload=forge.user_claims(scp=scope, roles=list(NEEDS[needs].assigned)))

    assert (await authorizer.authorize(f"Bearer {token}", NEEDS[needs])).kind == "delegated"


def test_what_writes_needs_an_assigned_role_and_what_reads_does_not() -> None:
    for name, permission in NEEDS.items():
        assert permission.assigned == (permission.delegated if name.endswith("_WRITE") else ()), (
            name
        )


async def test_a_refusal_shows_nothing_of_the_token(authorizer: Authorizer, forge: Forge) -> None:
    token = forge.token(payload=forge.claims(aud="api://canary", oid="canary"))

    with pytest.raises(Unauthenticated) as refused:
        await authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_READ)

    error = refused.value
    shown = f"{error!r} {error.reason} {error.challenge}"
    assert "canary" not in shown
    assert not any(part in shown for part in token.split("."))


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [(-SKEW - 1, False), (-SKEW, True), (600 + SKEW - 1, True), (600 + SKEW, False)],
)
async def test_clocks_may_differ_by_a_minute(
    issuer: Issuer, forge: Forge, offset: int, accepted: bool
) -> None:
    payload = forge.claims()
    clock = Clock(payload["iat"] + offset)
    config = settings_for(issuer.authority)
    checking = Authorizer(config, SigningKeys(config.authority), now=clock)
    header = f"Bearer {forge.token(payload={**payload, 'exp': payload['iat'] + 600})}"

    if accepted:
        assert await checking.authorize(header, OUTBOUND_FLOW_READ)
    else:
        with pytest.raises(Unauthenticated, match=NOT_IN_TIME):
            await checking.authorize(header, OUTBOUND_FLOW_READ)


# --- Whatever comes -------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@FUZZ
@given(header=st.text() | st.text().map("Bearer {}".format))
async def test_any_text_is_refused(authorizer: Authorizer, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await authorizer.authorize(header, OUTBOUND_FLOW_READ)


@FUZZ
@given(parts=st.lists(st.binary(max_size=80), min_size=3, max_size=3))
async def test_any_bytes_in_the_form_of_a_token_are_refused(
    authorizer: Authorizer, forge: Forge, parts: list[bytes]
) -> None:
    token = forge.token(parts[0], parts[1], lambda _: parts[2])

    with pytest.raises(Unauthenticated):
        await authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_READ)


@FUZZ
@given(data=st.data())
async def test_a_token_with_any_character_changed_is_refused(
    authorizer: Authorizer, forge: Forge, data: st.DataObject
) -> None:
    token = forge.token()
    at = data.draw(st.integers(0, len(token) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text("abcdefghABCDEFGH0123456789-_.=+/ é\0", max_size=3))
    changed = token[:at] + put + token[at + cut :]
    assume(changed.strip() != token)

    with pytest.raises(Unauthenticated):
        await authorizer.authorize(f"Bearer {changed}", OUTBOUND_FLOW_READ)


@FUZZ
@given(
    name=st.sampled_from(
        ["aud", "iss", "tid", "exp", "nbf", "iat", "azp", "oid", "sub", "roles", "scp", "idtyp"]
    ),
    value=JSON,
)
async def test_any_value_of_a_claim_is_accepted_or_refused(
    authorizer: Authorizer, forge: Forge, name: str, value: object
) -> None:
    token = forge.token(payload=forge.claims(**{name: value}))
    try:
        caller = await authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_READ)
    except (Unauthenticated, Forbidden):
        return
    # Members that are not checked may be anything: the caller and times in the past.
    assert name in ("oid", "sub", "idtyp", "scp", "exp", "nbf", "iat")
    assert caller.tenant == LOCAL_TENANT


@FUZZ
@given(name=st.sampled_from(["typ", "alg", "kid", "crit", "b64", "jwk", "zip"]), value=JSON)
async def test_any_value_of_a_header_is_accepted_or_refused(
    authorizer: Authorizer, forge: Forge, name: str, value: object
) -> None:
    token = forge.token(header=forge.header(**{name: value}))
    try:
        await authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_READ)
    except (Unauthenticated, Forbidden):
        return
    assert name in ("typ", "jwk", "zip")


# --- Signing keys ---------------------------------------------------------------------------------


@dataclass
class KeyServer:
    """An issuer of keys that answers what a test sets."""

    authority: str = ""
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    hold: asyncio.Event | None = None
    drip: bool = False

    def publish(self, *entries: Mapping[str, object]) -> None:
        """Answer with a key set."""
        self.body = json.dumps({"keys": entries}).encode()

    async def requested(self, times: int) -> None:
        """Wait until that many requests have come."""
        async with self.arrived:
            await asyncio.wait_for(
                self.arrived.wait_for(lambda: len(self.requests) >= times), SECONDS
            )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        async with self.arrived:
            self.requests.append(request.path)
            self.arrived.notify_all()
        # What is answered is what was true when the request came.
        body, status = self.body, self.status
        if self.hold is not None:
            await self.hold.wait()
        if self.drip:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(200):
                await response.write(b" ")
                await asyncio.sleep(0.1)
            return response
        return web.Response(body=body, status=status, headers=self.headers)


@asynccontextmanager
async def serving() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    app = web.Application()
    app.router.add_get("/{tail:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.authority = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with serving() as running:
        yield running


@dataclass
class Side:
    """A service under test, the forge of its issuer, and the clock that both go by."""

    server: KeyServer
    forge: Forge
    clock: Clock
    authorizer: Authorizer

    async def call(self, token: str) -> Caller:
        return await self.authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_READ)

    async def accepts(self, token: str) -> bool:
        try:
            await self.call(token)
        except Unauthenticated:
            return False
        return True

    def token(self, key: rsa.RSAPrivateKey | None = None, **claims: Any) -> str:
        """A token of a year, by a key other than the first if one is given."""
        key = key or self.forge.key
        payload = self.forge.claims(exp=int(self.clock.time) + 365 * 86400, **claims)
        kid = public_jwk(key.public_key())["kid"]
        return self.forge.token(self.forge.header(kid=kid), payload, rs256(key))


@pytest.fixture(scope="module")
def keys() -> list[rsa.RSAPrivateKey]:
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


@pytest.fixture
def side(server: KeyServer, keys: list[rsa.RSAPrivateKey]) -> Side:
    forge = Forge(server.authority, keys[0])
    clock = Clock(forge.claims()["iat"])
    config = settings_for(server.authority, AUTH_TENANTS=f"{LOCAL_TENANT},{SECOND_TENANT}")
    server.publish(public_jwk(keys[0].public_key()))
    return Side(
        server,
        forge,
        clock,
        Authorizer(config, SigningKeys(config.authority, now=clock), now=clock),
    )


async def test_many_first_callers_cost_one_fetch(side: Side) -> None:
    tokens = [side.token(n=n) for n in range(40)]

    assert all(await asyncio.gather(*(side.accepts(token) for token in tokens)))
    assert side.server.requests == [f"/{LOCAL_TENANT}/discovery/v2.0/keys"]


async def test_made_up_key_ids_cost_one_fetch_in_five_minutes(side: Side) -> None:
    async def storm() -> None:
        tokens = [side.forge.token(side.forge.header(kid=f"made-up-{n}")) for n in range(60)]
        assert not any(await asyncio.gather(*(side.accepts(token) for token in tokens)))

    await storm()
    assert len(side.server.requests) == 1
    side.clock.time += REFETCH - 1
    await storm()
    assert len(side.server.requests) == 1
    side.clock.time += 1
    await storm()
    assert len(side.server.requests) == 2


async def test_tenants_do_not_share_keys_or_waiting_times(side: Side) -> None:
    assert await side.accepts(side.token())
    second = side.token(tid=SECOND_TENANT, iss=f"{side.forge.authority}/{SECOND_TENANT}/v2.0")

    assert await side.accepts(second)
    assert [path.split("/")[1] for path in side.server.requests] == [LOCAL_TENANT, SECOND_TENANT]


async def test_an_unknown_tenant_costs_no_fetch(side: Side) -> None:
    token = side.token(tid=OTHER_TENANT, iss=f"{side.forge.authority}/{OTHER_TENANT}/v2.0")

    assert not await side.accepts(token)
    assert side.server.requests == []


@pytest.mark.parametrize(
    "header",
    [{"alg": "HS256"}, {"alg": ABSENT}, {"crit": ["exp"]}, {"kid": ABSENT}, {"kid": "k" * 257}],
)
async def test_a_header_that_no_key_can_make_good_costs_no_fetch(
    side: Side, header: dict[str, object]
) -> None:
    assert not await side.accepts(side.forge.token(side.forge.header(**header)))
    assert side.server.requests == []


async def test_a_new_key_is_found_after_five_minutes(
    side: Side, keys: list[rsa.RSAPrivateKey]
) -> None:
    assert await side.accepts(side.token())
    side.server.publish(*(public_jwk(key.public_key()) for key in keys))

    assert not await side.accepts(side.token(keys[1]))
    side.clock.time += REFETCH
    assert await side.accepts(side.token(keys[1]))
    assert await side.accepts(side.token())


async def test_a_withdrawn_key_is_refused_after_a_day(
    side: Side, keys: list[rsa.RSAPrivateKey]
) -> None:
    assert await side.accepts(side.token())
    side.server.publish(public_jwk(keys[1].public_key()))

    side.clock.time += KEEP - 1
    assert await side.accepts(side.token(n=1))
    side.clock.time += REMEMBER
    assert not await side.accepts(side.token(n=1))
    assert len(side.server.requests) == 2


async def test_a_remembered_token_outlives_a_withdrawn_key_by_five_minutes_only(
    side: Side, keys: list[rsa.RSAPrivateKey]
) -> None:
    token = side.token()
    assert await side.accepts(token)
    side.server.publish(public_jwk(keys[1].public_key()))
    side.clock.time += REFETCH
    token = side.token(n=1)
    assert await side.accepts(token)
    assert await side.accepts(side.token(keys[1]))  # the first key is gone from here on

    side.clock.time += REMEMBER - 1
    assert await side.accepts(token)
    side.clock.time += 1
    assert not await side.accepts(token)


async def test_only_so_many_tokens_are_remembered(
    side: Side, keys: list[rsa.RSAPrivateKey]
) -> None:
    tokens = [side.token(n=n) for n in range(MAX_REMEMBERED + 1)]
    assert await side.accepts(tokens[0])
    side.clock.time += REFETCH - 1
    for token in tokens:
        assert await side.accepts(token)
    side.server.publish(public_jwk(keys[1].public_key()))
    side.clock.time += 2
    assert await side.accepts(side.token(keys[1]))  # one more, and the first key is gone

    assert not await side.accepts(tokens[1])
    assert await side.accepts(tokens[-1])


async def test_a_remembered_token_ends_when_it_expires(side: Side) -> None:
    token = side.forge.token(payload=side.forge.claims(exp=int(side.clock.time) + 100))
    assert await side.accepts(token)

    side.clock.time += 100 + SKEW
    with pytest.raises(Unauthenticated, match=NOT_IN_TIME):
        await side.call(token)


async def test_a_remembered_token_does_not_carry_its_permission_along(side: Side) -> None:
    token = side.token(roles=[permissions.FLOW_READ])
    assert await side.accepts(token)

    with pytest.raises(Forbidden):
        await side.authorizer.authorize(f"Bearer {token}", OUTBOUND_FLOW_WRITE)


async def test_without_keys_a_caller_gets_retry_after(side: Side) -> None:
    side.server.status = 503

    with pytest.raises(KeysUnavailable) as failed:
        await side.call(side.token())
    assert failed.value.retry_after == 5
    side.clock.time += 4
    with pytest.raises(KeysUnavailable) as failed:
        await side.call(side.token())
    assert failed.value.retry_after == 1
    assert len(side.server.requests) == 1


async def test_keys_are_fetched_again_after_five_seconds_without_any(side: Side) -> None:
    side.server.status = 503
    with pytest.raises(KeysUnavailable):
        await side.call(side.token())
    side.server.status = 200

    side.clock.time += 5
    assert await side.accepts(side.token())


async def test_no_listening_issuer_means_no_keys(forge: Forge) -> None:
    async with serving() as gone:
        authority = gone.authority
    config = settings_for(authority)
    checking = Authorizer(config, SigningKeys(authority))
    payload = forge.claims(iss=f"{authority}/{LOCAL_TENANT}/v2.0")

    with pytest.raises(KeysUnavailable):
        await checking.authorize(f"Bearer {forge.token(payload=payload)}", OUTBOUND_FLOW_READ)


@pytest.mark.parametrize("failure", ["down", "empty", "huge"])
async def test_the_last_good_keys_serve_while_the_issuer_fails(side: Side, failure: str) -> None:
    assert await side.accepts(side.token())
    if failure == "down":
        side.server.status = 500
    elif failure == "empty":
        side.server.publish()
    else:
        side.server.body += b" " * signing_keys.MAX_BYTES

    side.clock.time += 3 * KEEP
    assert await side.accepts(side.token())
    assert len(side.server.requests) == 2
    side.clock.time += REFETCH - 1
    assert await side.accepts(side.token())
    assert len(side.server.requests) == 2


async def test_a_slow_issuer_does_not_hold_up_callers_with_a_known_key(side: Side) -> None:
    assert await side.accepts(side.token())
    side.clock.time += REFETCH
    side.server.hold = asyncio.Event()
    unknown = asyncio.create_task(
        side.accepts(side.forge.token(side.forge.header(kid="made-up"))), name="unknown key"
    )
    await side.server.requested(2)

    assert await side.accepts(side.token(n=1))
    assert not unknown.done()
    side.server.hold.set()
    assert not await unknown


async def test_a_caller_who_gives_up_does_not_leave_the_keys_locked(side: Side) -> None:
    side.server.hold = asyncio.Event()
    first = asyncio.create_task(side.accepts(side.token()))
    await side.server.requested(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    side.server.hold.set()

    side.clock.time += 5
    assert await asyncio.wait_for(side.accepts(side.token()), SECONDS)


async def test_an_issuer_that_does_not_finish_is_given_up(side: Side) -> None:
    side.server.drip = True

    with pytest.raises(KeysUnavailable):
        await asyncio.wait_for(side.call(side.token()), SECONDS / 2)


async def test_an_issuer_that_does_not_begin_is_given_up(side: Side) -> None:
    side.server.hold = asyncio.Event()

    with pytest.raises(KeysUnavailable):
        await asyncio.wait_for(side.call(side.token()), SECONDS / 2)
    side.server.hold.set()


def _small(bits: int, **changes: object) -> dict[str, object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return {**public_jwk(key.public_key()), **changes}


def _set(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


UNUSABLE: dict[str, Callable[[dict[str, str]], bytes]] = {
    "nothing": lambda _: b"",
    "not JSON": lambda _: b"<html>",
    "not UTF-8": lambda _: b"\xff\xfe\x00",
    "a list": lambda jwk: json.dumps([jwk]).encode(),
    "no keys": lambda _: b"{}",
    "keys as an object": lambda jwk: json.dumps({"keys": jwk}).encode(),
    "deep": lambda _: b"[" * 100_000,
    "too long": lambda jwk: _set(jwk) + b" " * signing_keys.MAX_BYTES,
    "packed": lambda jwk: gzip.compress(_set(jwk)),
    "too many keys": lambda jwk: _set(jwk, *({} for _ in range(signing_keys.MAX_KEYS))),
    "entries that are no objects": lambda jwk: _set(1, None, "key", [jwk]),
    "no key id": lambda jwk: _set({**jwk, "kid": None}),
    "a list as key id": lambda jwk: _set({**jwk, "kid": ["a"]}),
    "empty key id": lambda jwk: _set({**jwk, "kid": ""}),
    "another use": lambda jwk: _set({**jwk, "use": "enc"}),
    "no use": lambda jwk: _set({k: v for k, v in jwk.items() if k != "use"}),
    "another algorithm": lambda jwk: _set({**jwk, "alg": "PS256"}),
    "another kind": lambda jwk: _set({**jwk, "kty": "oct", "k": "c2VjcmV0"}),
    "an elliptic curve": lambda jwk: _set({**jwk, "kty": "EC", "crv": "P-256"}),
    "modulus as a number": lambda jwk: _set({**jwk, "n": 3}),
    "no exponent": lambda jwk: _set({**jwk, "e": None}),
    "empty modulus": lambda jwk: _set({**jwk, "n": ""}),
    "modulus that is not base64": lambda jwk: _set({**jwk, "n": "é"}),
    "an even exponent": lambda jwk: _set({**jwk, "e": "Ag"}),
    "exponent 1": lambda jwk: _set({**jwk, "e": "AQ"}),
    "a short key": lambda jwk: _set(_small(1024, kid=jwk["kid"])),
    "a key of an absurd length": lambda jwk: _set({**jwk, "n": "_" * 2800}),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_answer_without_a_usable_key_is_no_answer(
    side: Side, keys: list[rsa.RSAPrivateKey], name: str
) -> None:
    side.server.body = UNUSABLE[name](public_jwk(keys[0].public_key()))

    with pytest.raises(KeysUnavailable):
        await side.call(side.token())


async def test_a_packed_answer_is_not_unpacked(side: Side) -> None:
    side.server.body = gzip.compress(side.server.body)
    side.server.headers = {"Content-Encoding": "gzip"}

    with pytest.raises(KeysUnavailable):
        await side.call(side.token())


async def test_a_redirect_is_not_followed(side: Side, issuer: Issuer) -> None:
    side.server.status = 302
    side.server.headers = {"Location": f"{issuer.authority}/{LOCAL_TENANT}/discovery/v2.0/keys"}

    with pytest.raises(KeysUnavailable):
        await side.call(side.token())
    assert len(side.server.requests) == 1


async def test_a_good_key_counts_beside_bad_ones(side: Side, keys: list[rsa.RSAPrivateKey]) -> None:
    side.server.publish({"kty": "EC", "kid": "a"}, {}, public_jwk(keys[0].public_key()))

    assert await side.accepts(side.token())


async def test_the_local_issuers_key_can_be_changed(issuer: Issuer, forge: Forge) -> None:
    """With the real process: the file is deleted, and the next token makes another key."""
    clock = Clock(forge.claims()["iat"])
    config = settings_for(issuer.authority)
    checking = Authorizer(config, SigningKeys(config.authority, now=clock), now=clock)
    await checking.authorize(f"Bearer {forge.token()}", OUTBOUND_FLOW_READ)
    path = issuer.state / KEY_FILE
    first = path.rename(issuer.state / "first.pem")
    try:
        second = Forge(issuer.authority, signing_key(issuer.state))
        with pytest.raises(Unauthenticated):
            await checking.authorize(f"Bearer {second.token()}", OUTBOUND_FLOW_READ)
        clock.time += REFETCH
        assert await checking.authorize(f"Bearer {second.token()}", OUTBOUND_FLOW_READ)
        with pytest.raises(Unauthenticated):
            await checking.authorize(f"Bearer {forge.token()}", OUTBOUND_FLOW_READ)
    finally:
        first.replace(path)


# --- Settings -------------------------------------------------------------------------------------

TENANT = "11111111-2222-3333-4444-555555555555"
CLOUD = {"AUTH_TENANTS": TENANT, "AUTH_AUDIENCES": "api://contoso-provisioning"}
EMULATOR = {"COSMOS_ENDPOINT": "http://127.0.0.1:8081"}


def test_settings_for_entra_need_tenants_and_audiences_only() -> None:
    config = AuthSettings.read(
        {"AUTH_TENANTS": f" {TENANT.upper()} ,", "AUTH_AUDIENCES": "api://contoso/, api://b"}
    )

    assert config == AuthSettings(
        required=True,
        tenants=(TENANT,),
        audiences=frozenset({"api://contoso", "api://b"}),
        authority=ENTRA,
    )


@pytest.mark.parametrize(
    ("authority", "first", "second"),
    [
        ("", "sts.windows.net", "login.microsoftonline.com"),
        ("login.microsoftonline.com", "sts.windows.net", "login.microsoftonline.com"),
        ("login.microsoftonline.us", "sts.windows.net", "login.microsoftonline.us"),
        (
            *("login.chinacloudapi.cn", "sts.chinacloudapi.cn"),
            "login.partner.microsoftonline.cn",
        ),
        (
            *("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
            "login.partner.microsoftonline.cn",
        ),
    ],
)
def test_entra_issues_under_two_names_in_each_cloud(
    authority: str, first: str, second: str
) -> None:
    given = {"AUTH_AUTHORITY": f"https://{authority}/"} if authority else {}
    assert AuthSettings.read(CLOUD | given).issuers(TENANT) == (
        f"https://{first}/{TENANT}/",
        f"https://{second}/{TENANT}/v2.0",
    )


def test_the_challenge_is_graphs_own_with_entra() -> None:
    assert AuthSettings.read(CLOUD).challenge == (
        'Bearer realm="", '
        'authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
        'client_id="00000003-0000-0000-c000-000000000000"'
    )


FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "no tenants": ({"AUTH_TENANTS": ""}, "Set AUTH_TENANTS"),
    "blank tenants": ({"AUTH_TENANTS": " , "}, "Set AUTH_TENANTS"),
    "no audiences": ({"AUTH_AUDIENCES": ""}, "Set AUTH_AUDIENCES"),
    "tenant by name": ({"AUTH_TENANTS": "contoso.com"}, "AUTH_TENANTS must hold"),
    "every tenant": ({"AUTH_TENANTS": f"{TENANT},common"}, "AUTH_TENANTS must hold"),
    "any tenant": ({"AUTH_TENANTS": "*"}, "AUTH_TENANTS must hold"),
    "personal accounts": (
        {"AUTH_TENANTS": "9188040d-6c67-4c5b-b112-36a304b66dad"},
        "personal Microsoft accounts",
    ),
    "any audience": ({"AUTH_AUDIENCES": "*"}, "AUTH_AUDIENCES must hold"),
    "audience with a space": ({"AUTH_AUDIENCES": "api://a b"}, "AUTH_AUDIENCES must hold"),
    "audience with a line break": ({"AUTH_AUDIENCES": "api://a\nb"}, "AUTH_AUDIENCES must hold"),
    "Graph as audience": (
        {"AUTH_AUDIENCES": "https://graph.microsoft.com/"},
        "cannot be Microsoft Graph",
    ),
    "Graph's id as audience": (
        {"AUTH_AUDIENCES": "00000003-0000-0000-C000-000000000000"},
        "cannot be Microsoft Graph",
    ),
    "unknown mode": ({"AUTH_MODE": "false"}, "AUTH_MODE must be"),
    "authority by http": ({"AUTH_AUTHORITY": "http://login.example"}, "must use https"),
    "authority that only looks local": (
        {"AUTH_AUTHORITY": "http://127.0.0.1.example"},
        "must use https",
    ),
    "authority with a path": ({"AUTH_AUTHORITY": f"{ENTRA}/common"}, "must be an https URL"),
    "authority with a user": ({"AUTH_AUTHORITY": "https://a@b"}, "must be an https URL"),
    "authority with a quote": ({"AUTH_AUTHORITY": 'https://a"b'}, "must be an https URL"),
    "authority with a line break": ({"AUTH_AUTHORITY": "https://a\r\nb"}, "must be an https URL"),
    "authority with an odd port": ({"AUTH_AUTHORITY": "https://a:99999"}, "must be an https URL"),
    "authority by another scheme": ({"AUTH_AUTHORITY": "file:///a"}, "must be an https URL"),
    "local issuer in Azure": (
        {"AUTH_AUTHORITY": "http://127.0.0.1:7072", "WEBSITE_SITE_NAME": "app"},
        "https in Azure",
    ),
    "off beside a real store": (
        {"AUTH_MODE": "off", "COSMOS_ENDPOINT": "https://a.documents.azure.com"},
        "Remove AUTH_MODE=off",
    ),
    "off beside no store": ({"AUTH_MODE": "off"}, "Remove AUTH_MODE=off"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_settings_that_would_disable_or_break_authentication_are_refused(name: str) -> None:
    changes, fault = FAULTS[name]

    with pytest.raises(SettingsError, match=fault):
        AuthSettings.read({**CLOUD, **changes})


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        AuthSettings.read({"AUTH_MODE": "maybe", "AUTH_AUTHORITY": "login"})

    for name in ("AUTH_MODE", "AUTH_AUTHORITY", "AUTH_TENANTS", "AUTH_AUDIENCES"):
        assert name in str(refused.value)


@pytest.mark.parametrize("marker", IN_AZURE)
def test_the_check_cannot_be_turned_off_in_azure(marker: str) -> None:
    with pytest.raises(SettingsError, match=f"AUTH_MODE=off.*{marker}"):
        AuthSettings.read({**EMULATOR, "AUTH_MODE": "off", marker: "x"})


@pytest.mark.parametrize("mode", ["off", " OFF "])
async def test_the_check_can_be_turned_off_on_ones_own_machine(mode: str) -> None:
    """The variables are those that `func start` gives a worker."""
    func_start = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_HOSTNAME": "localhost:7071",
    }
    config = AuthSettings.read({**EMULATOR, **func_start, "AUTH_MODE": mode})

    checking = Authorizer(config, SigningKeys(config.authority))
    assert await checking.authorize(None, OUTBOUND_FLOW_WRITE) == Caller("unchecked", LOCAL_TENANT)


def test_importing_the_check_loads_no_cryptography() -> None:
    code = (
        "import sys, shared.adapters.entra; "
        "print([name for name in ('jwt', 'aiohttp', 'cryptography') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
