"""Authorization over HTTP on the running stack: what is permitted, refused and answered."""

from __future__ import annotations

import io
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from functions.http.operations import MAX_URL_CHARACTERS, ROUTES, Route
from local.issuer import signing_key
from local.stack import Stack
from shared.contract.json_body import MAX_BODY_BYTES
from shared.domain.permissions import DEFINITION_READ, FLOW_READ, OUTBOUND_FLOW_READ, READ_BASIC
from tests.auth.bad_tokens import BAD, LACKING, Bad, Forge, Lacking
from tests.host.test_function_app import triggers
from tests.support.api import UNKNOWN, Answer, Api, assert_envelope
from tests.support.waiting import until
from tests.support.wire import exchange, split

WITHOUT_TOKEN = {
    *("get_metadata", "get_service_document", "health"),
    *("openapi", "page_status", "page_docs", "page_part", "page_library"),
}
# It finds the route of all other paths, which then asks for the permission of its own.
NO_ROUTE = {"z_any_other_request"}
READS = (FLOW_READ, READ_BASIC, DEFINITION_READ)
GUARDED = [each for each in ROUTES if each.needs is not None]
WITH_PERMISSION = [each for each in GUARDED if each.needs and not each.needs.any_token]
NOT_GET = [each for each in WITH_PERMISSION if each.method != "GET"]
FOR_READERS = {"create_subscription", "update_subscription", "delete_subscription"}
WRITES = [each for each in NOT_GET if each.name not in FOR_READERS]


def named(operation: Route) -> str:
    """An operation, as a test's name."""
    return operation.name


def address(root: str, operation: Route) -> str:
    """A URL of an operation, about what does not exist."""
    segments = [UNKNOWN if each.startswith("{") else each for each in operation.segments]
    return "/".join((root.removesuffix("/beta"), *segments))


@pytest.fixture(scope="module")
def forge(stack: Stack) -> Forge:
    config = stack.config
    return Forge(config.issuer, signing_key(config.local_state / "issuer"))


@pytest.fixture(scope="module")
async def anyone(api: str) -> AsyncIterator[Api]:
    """The service for a client that sends no token of its own."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, api)


def application(forge: Forge, *roles: str) -> str:
    """The header of an application with these roles."""
    return f"Bearer {forge.token(payload=forge.claims(roles=list(roles)))}"


def user(forge: Forge, *scopes: str) -> str:
    """The header of a user's client with these scopes; the user has the roles of their names."""
    claims = forge.user_claims(scp=" ".join(scopes), roles=list(scopes))
    return f"Bearer {forge.token(payload=claims)}"


# --- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_token_is_a_401_with_a_challenge(anyone: Api, forge: Forge, bad: Bad) -> None:
    header = bad.build(forge)
    headers = {} if header is None else {"authorization": header}
    answer = await anyone.send("GET", anyone.sets, None, **headers)
    error = assert_envelope(answer, 401, "InvalidAuthenticationToken")
    assert error["message"] == bad.message
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="", authorization_uri="{forge.authority}/common/oauth2/authorize", '
        'client_id="00000003-0000-0000-c000-000000000000"'
    )


@pytest.mark.parametrize("bad", BAD[::9], ids=lambda bad: bad.name)
async def test_a_bad_token_writes_nothing(
    service: Api, anyone: Api, forge: Forge, bad: Bad, set_id: str
) -> None:
    header = bad.build(forge)
    headers = {} if header is None else {"authorization": header}
    assert (await anyone.delete(anyone.set(set_id), **headers)).status == 401
    assert (await service.get(service.set(set_id))).status == 200


@pytest.mark.parametrize("lacking", LACKING, ids=lambda lacking: lacking.name)
async def test_a_caller_without_the_permission_gets_a_403(
    anyone: Api, forge: Forge, lacking: Lacking
) -> None:
    token = forge.token(payload=lacking.build(forge))
    asked = [each for each in ROUTES if each.needs == lacking.needs]
    assert asked, "no operation asks for this permission"
    for operation in asked:
        answer = await anyone.send(
            operation.method,
            address(anyone.root, operation),
            authorization=f"Bearer {token}",
        )
        error = assert_envelope(answer, 403, "Authorization_RequestDenied")
        assert error["message"] == "Insufficient privileges to complete the operation."
        assert "WWW-Authenticate" not in answer.headers


# --- every operation ---------------------------------------------------------------------------


def test_every_http_function_is_an_operation_or_is_listed_here() -> None:
    functions = {function.get_function_name() for function, _ in triggers("httpTrigger")}
    operations = {named(each) for each in ROUTES}
    assert functions == operations | NO_ROUTE


def test_every_operation_asks_for_a_permission_or_is_listed_here() -> None:
    assert {named(each) for each in ROUTES if each.needs is None} == WITHOUT_TOKEN


@pytest.mark.parametrize("operation", GUARDED, ids=named)
async def test_without_a_token_each_operation_is_a_401(anyone: Api, operation: Route) -> None:
    answer = await anyone.send(operation.method, address(anyone.root, operation))
    assert_envelope(answer, 401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    "url", ["status/overview", f"beta/external/industryData/roleGroups('{UNKNOWN}')"]
)
async def test_without_a_token_no_other_way_is_open(anyone: Api, url: str) -> None:
    answer = await anyone.get(f"{anyone.root.removesuffix('beta')}{url}")
    assert_envelope(answer, 401, "InvalidAuthenticationToken")


@pytest.mark.parametrize("operation", WITH_PERMISSION, ids=named)
async def test_the_least_permission_suffices_for_each_operation(
    anyone: Api, forge: Forge, operation: Route
) -> None:
    assert operation.needs is not None
    headers = [application(forge, operation.needs.application[0])]
    headers += [user(forge, scope) for scope in operation.needs.delegated[:1]]
    for header in headers:
        answer = await anyone.send(
            operation.method, address(anyone.root, operation), authorization=header
        )
        assert answer.status in (200, 400, 404), answer.text


def test_a_caller_who_may_only_read_may_subscribe_and_do_nothing_else() -> None:
    """Graph has subscribers hold the permission that reads what they are notified of.

    A subscription is the caller's own and changes no flow; every other operation that is not a GET
    is among those that readers are refused below.
    """
    subscription = "beta/subscriptions/{subscription_id}"
    assert {
        (each.method, "/".join(each.segments)): each.needs for each in NOT_GET if each not in WRITES
    } == {
        ("POST", "beta/subscriptions"): OUTBOUND_FLOW_READ,
        ("PATCH", subscription): OUTBOUND_FLOW_READ,
        ("DELETE", subscription): OUTBOUND_FLOW_READ,
    }


@pytest.mark.parametrize("operation", WRITES, ids=named)
async def test_a_caller_who_may_only_read_writes_nothing(
    anyone: Api, forge: Forge, operation: Route
) -> None:
    for header in (application(forge, *READS), user(forge, *READS)):
        answer = await anyone.send(
            operation.method, address(anyone.root, operation), authorization=header
        )
        assert_envelope(answer, 403, "Authorization_RequestDenied")


async def test_each_request_of_a_batch_needs_its_own_permission(anyone: Api, forge: Forge) -> None:
    """Twenty requests at most, hence several batches."""
    parts = [
        {"id": named(each), "method": each.method, "url": address("", each)}
        for each in WITH_PERMISSION
        if each.segments[0] == "beta"
    ]
    found: dict[str, int] = {}
    for start in range(0, len(parts), 20):
        answer = await anyone.post(
            f"{anyone.root}/$batch",
            {"requests": parts[start : start + 20]},
            authorization=application(forge, "Other"),
        )
        assert answer.status == 200
        found |= {each["id"]: each["status"] for each in answer.json()["responses"]}
    assert found == {part["id"]: 403 for part in parts}


@pytest.mark.parametrize("url", ["/$metadata", "/external/industryData/roleGroups"])
async def test_without_a_token_a_batch_is_refused_as_a_whole(anyone: Api, url: str) -> None:
    requests = [{"id": "1", "method": "GET", "url": url}]
    answer = await anyone.post(f"{anyone.root}/$batch", {"requests": requests})
    assert_envelope(answer, 401, "InvalidAuthenticationToken")


async def test_a_token_of_its_own_counts_for_one_request_of_a_batch_only(
    anyone: Api, forge: Forge
) -> None:
    url = "/external/industryData/outboundProvisioningFlowSets"
    own = {"Authorization": application(forge, FLOW_READ)}
    requests = [
        {"id": "1", "method": "GET", "url": url, "headers": own},
        {"id": "2", "method": "GET", "url": url},
    ]
    answer = await anyone.post(
        f"{anyone.root}/$batch", {"requests": requests}, authorization=application(forge, "Other")
    )
    assert [each["status"] for each in answer.json()["responses"]] == [200, 403]


# --- line breaks and other control characters --------------------------------------------------


BREAKS = {
    "line feed": b"\n",
    "carriage return": b"\r",
    "both": b"\r\n",
    "next line": "\x85".encode(),
    "line separator": "\u2028".encode(),
    "escape": b"\x1b[31m",
    "backspace": b"\b",
    "delete": b"\x7f",
    "nul": b"\0",
    "vertical tab": b"\v",
    "half of UTF-8": b"\xc3",
}
PLACES = ("path", "query name", "query value", "filter", "client-request-id", "traceparent")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]")


def hostile(place: str, what: bytes, api: Api, token: str) -> bytes:
    """A request with something in one place: percent-encoded in a URL, as it is in a header."""
    encoded = "".join(f"%{byte:02x}" if not chr(byte).isalnum() else chr(byte) for byte in what)
    path = api.sets.partition("/beta")[2]
    target = {
        "path": f"/beta{path}/{encoded}",
        "query name": f"/beta{path}?{encoded}=1",
        "query value": f"/beta{path}?%24top={encoded}",
        "filter": f"/beta{path}?%24filter=displayName%20eq%20'{encoded}",
    }.get(place, f"/beta{path}?%24top=1")
    header = f"{place}: ".encode() + what if target.endswith("top=1") else b"X-Nothing: 1"
    lines = [
        f"GET {target} HTTP/1.1".encode(),
        f"Host: 127.0.0.1:{api.port}".encode(),
        f"Authorization: Bearer {token}".encode(),
        b"Connection: close",
        header,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize("place", PLACES)
async def test_control_characters_reach_neither_headers_nor_log(
    service: Api, stack: Stack, token: str, place: str
) -> None:
    marker = f"forged{secrets.token_hex(6)}"
    for number, text in enumerate(BREAKS.values()):
        what = b"a" + text + f"{marker}x{number}: yes".encode()
        answer = await exchange(service.port, hostile(place, what, service, token))
        head, body = split(answer)
        status = int(head.split()[1])
        assert 200 <= status < 500, (text, answer)
        assert marker.encode() not in head.lower(), text
        assert not _CONTROL.search(head.decode("utf-8").replace("\r\n", "\n")), text
        if body:
            # JSON escapes what breaks a line; what is written as it is breaks none.
            assert not re.search(rb"[\x00-\x1f]", body) or status == 400, text
    # A request behind them in the log: what they left there is written.
    mine = (await service.get(service.sets, {"$top": 1})).headers["request-id"]
    log = ""

    async def written() -> bool:
        nonlocal log
        log = stack.log_file("host").read_bytes().decode("utf-8", errors="surrogateescape")
        return mine in log

    await until(written, "the log has the last request")
    for line in log.split("\n"):
        assert not line.startswith(marker)
        if marker in line:
            assert not _CONTROL.search(line), line


# --- what answers show -------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request and the status that answers it."""

    method: str
    path: str
    status: int
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


DATA = "beta/external/industryData"
SETS = f"{DATA}/outboundProvisioningFlowSets"
DEEP = b'{"a":' * 2000 + b"1" + b"}" * 2000
NO_TOKEN = {"authorization": ""}

REFUSED: dict[str, Asked] = {
    "no token": Asked("GET", SETS, 401, headers=NO_TOKEN),
    "no JSON": Asked("POST", SETS, 400, b"{"),
    "not UTF-8": Asked("POST", SETS, 400, b'"\xff"'),
    "a deep body": Asked("POST", SETS, 400, DEEP),
    "a list": Asked("POST", SETS, 400, b"[]"),
    "an unknown member": Asked("POST", SETS, 400, b'{"displayName": "A", "_private": 1}'),
    "a huge number": Asked("POST", SETS, 400, b'{"displayName": ' + b"9" * 5000 + b"}"),
    "a media type": Asked("POST", SETS, 400, b"<a/>", {"Content-Type": "application/xml"}),
    "a key that is no id": Asked("GET", f"{SETS}/__class__", 404),
    "a key that is a path": Asked("GET", f"{SETS}/..%2f..%2fetc%2fpasswd", 404),
    "no such set": Asked("GET", f"{SETS}/{UNKNOWN}", 404),
    "no such path": Asked("GET", "beta/users", 400),
    "no such root": Asked("GET", "v1.0/external", 400),
    "no such role group": Asked("GET", f"{DATA}/roleGroups/{UNKNOWN}", 404),
    "another method": Asked("PUT", SETS, 405, b"{}"),
    "an unknown option": Asked("GET", f"{SETS}/{UNKNOWN}/provisioningFlows?$what=1", 400),
    "a filter that is none": Asked("GET", f"{SETS}?$filter=displayName%20eq", 400),
    "a filter of Python": Asked("GET", f"{SETS}?$filter=__import__('os')%20eq%201", 400),
    "a filter of SQL": Asked("GET", f"{SETS}?$filter=1%20eq%201;%20DROP%20TABLE%20c", 400),
    "a page that was made up": Asked("GET", f"{SETS}?$skiptoken=AAAA", 400),
    "nothing to discard": Asked("POST", "status/dead-letters/discard", 400, b"{}"),
    "no batch": Asked("POST", "beta/$batch", 400, b'{"requests": []}'),
    "a body that is too long": Asked("POST", SETS, 413, b'"' + b"x" * MAX_BODY_BYTES + b'"'),
    "a URL that is too long": Asked("GET", f"{SETS}/{'x' * MAX_URL_CHARACTERS}", 414),
}
SERVED: dict[str, Asked] = {
    "a list": Asked("GET", SETS, 200),
    "the root": Asked("GET", "beta", 200),
    "the types": Asked("GET", "beta/$metadata", 200),
    "a new set": Asked("POST", SETS, 201, b'{"displayName": "Headers"}'),
    "a number": Asked("GET", f"{SETS}/$count", 200),
    "health": Asked("GET", "health", 200),
    "the description": Asked("GET", "openapi.json", 200),
    "a page": Asked("GET", "status", 200),
    "another page": Asked("GET", "docs", 200),
    "a page that is not there": Asked("GET", "pages/none.js", 404),
    "what a page shows": Asked("GET", "status/overview", 200),
    "dead letters": Asked("GET", "status/dead-letters", 200),
    "a batch": Asked(
        "POST",
        "beta/$batch",
        200,
        b'{"requests": [{"id": "1", "method": "GET", "url": "/external/industryData"}]}',
    ),
}


async def send_large(service: Api, url: str, body: bytes) -> Answer:
    """POST a body in a way that the client takes for a large one."""
    async with service.http.post(
        url, data=io.BytesIO(body), headers={"Content-Type": "application/json"}
    ) as response:
        return Answer(response.status, await response.text(), response.headers)


async def ask(service: Api, asked: Asked) -> Answer:
    """Send a request of the tables; check the status."""
    url = f"{service.root.removesuffix('beta')}{asked.path}"
    if asked.body is not None and len(asked.body) > MAX_BODY_BYTES:
        answer = await send_large(service, url, asked.body)
    else:
        answer = await service.send(asked.method, url, asked.body, **(asked.headers or {}))
    assert answer.status == asked.status, answer.text
    return answer


@pytest.mark.parametrize("name", [*SERVED, *REFUSED])
async def test_every_answer_has_the_security_headers(service: Api, name: str) -> None:
    headers = (await ask(service, {**SERVED, **REFUSED}[name])).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_api_says_is_not_kept_by_caches(service: Api, name: str) -> None:
    assert (await ask(service, REFUSED[name])).headers["Cache-Control"] == "no-store"


INTERNAL = re.compile(
    r"Traceback|File \"|\.py\b|line \d+, in |site-packages|\b(?:shared|functions|azure)\.\w|"
    r"aiohttp|marshmallow|PyJWT|\b[A-Z]\w+(?:Error|Exception)\b|"
    r"object at 0x|<class|/home/|/tmp/|SELECT |Cosmos DB|Service Bus"
)


def test_the_pattern_of_internal_names_finds_some() -> None:
    for text in (
        '  File "/srv/app.py", line 3, in f',
        "KeyError: 'x'",
        "shared.adapters.flow_store",
    ):
        assert INTERNAL.search(text)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_shows_no_stack_trace_and_no_internal_name(service: Api, name: str) -> None:
    answer = await ask(service, REFUSED[name])
    error = assert_envelope(answer, REFUSED[name].status, answer.json()["error"]["code"])
    found = INTERNAL.search(json.dumps(error))
    assert found is None, (found, error)


# --- limits ------------------------------------------------------------------------------------


async def test_a_url_of_the_greatest_length_is_read(service: Api) -> None:
    url = f"{service.sets}/"
    answer = await service.get(url + "x" * (MAX_URL_CHARACTERS - len(url)))
    assert_envelope(answer, 404, "Request_ResourceNotFound")
    answer = await service.get(url + "x" * (MAX_URL_CHARACTERS - len(url) + 1))
    error = assert_envelope(answer, 414, "RequestUriTooLong")
    assert f"at most {MAX_URL_CHARACTERS} characters" in error["message"]


async def test_a_long_url_is_refused_before_the_token_is_looked_at(anyone: Api) -> None:
    answer = await anyone.get(f"{anyone.sets}/{'x' * MAX_URL_CHARACTERS}")
    assert_envelope(answer, 414, "RequestUriTooLong")


async def test_a_long_url_in_a_batch_is_refused_alone(service: Api) -> None:
    url = "/external/industryData/outboundProvisioningFlowSets"
    requests = [
        {"id": "1", "method": "GET", "url": f"{url}?$filter={'x' * 100_000}"},
        {"id": "2", "method": "GET", "url": url},
    ]
    answer = await service.post(f"{service.root}/$batch", {"requests": requests})
    assert [each["status"] for each in answer.json()["responses"]] == [414, 200]


COSTLY: dict[str, Mapping[str, object]] = {
    "a page": {"$top": 1000},
    "a negative page": {"$top": -1},
    "a skip": {"$skip": 10_001},
    "a long filter": {"$filter": f"displayName eq '{'x' * 2000}'"},
    "a filter of many parts": {"$filter": " or ".join(["displayName eq 'a'"] * 60)},
    "a deep not": {"$filter": "not " * 30 + "(displayName eq 'a')"},
    "a search of many words": {"$search": " ".join(f"w{n}" for n in range(11))},
    "a long order": {"$orderby": ",".join(["displayName"] * 11)},
    "a long selection": {"$select": "x" * 3900},
}


@pytest.mark.parametrize("name", COSTLY)
async def test_a_costly_query_is_refused(service: Api, name: str) -> None:
    answer = await service.get(service.sets, COSTLY[name])
    assert_envelope(answer, 400, "BadRequest")


async def test_a_page_is_never_longer_than_the_greatest(service: Api) -> None:
    answer = await service.get(service.sets, {"$top": 999}, prefer="odata.maxpagesize=100000")
    assert answer.status == 200
    assert len(answer.json()["value"]) <= 999


MANY: dict[str, tuple[str, Any]] = {
    "a long name": ("sets", {"displayName": "x" * 257}),
    "many values of a filter": (
        "sets",
        {
            "displayName": "A",
            "filter": {
                "@odata.type": "#microsoft.graph.industryData.basicFilter",
                "attribute": "orgExternalId",
                "in": [str(number) for number in range(1001)],
            },
        },
    ),
    "many unknown members": ("sets", {f"m{number}": 1 for number in range(5000)}),
    "many roles": (
        "groups",
        {"displayName": "A", "roles": [{"code": f"c{number}"} for number in range(101)]},
    ),
    "many requests of a batch": (
        "batch",
        {"requests": [{"id": str(n), "method": "GET", "url": "/x"} for n in range(21)]},
    ),
    "a batch in a batch": (
        "batch",
        {"requests": [{"id": "1", "method": "POST", "url": "/$batch", "body": {}}]},
    ),
}


@pytest.mark.parametrize("name", MANY)
async def test_more_than_is_needed_is_refused_in_a_short_answer(service: Api, name: str) -> None:
    where, body = MANY[name]
    url = {"sets": service.sets, "groups": service.groups, "batch": f"{service.root}/$batch"}[where]
    answer = await service.post(url, body)
    assert_envelope(answer, 400, "BadRequest")
    assert len(answer.text) < 40_000


async def test_a_body_over_the_limit_is_refused_and_one_at_it_is_read(service: Api) -> None:
    padding = MAX_BODY_BYTES - len(b'{"displayName": "A"}')
    fits = b'{"displayName": "A"}' + b" " * padding
    assert (await send_large(service, service.sets, fits)).status == 201
    answer = await send_large(service, service.sets, fits + b" ")
    assert_envelope(answer, 413, "RequestEntityTooLarge")


async def test_each_collection_that_a_root_expands_needs_its_own_permission(
    anyone: Api, forge: Forge
) -> None:
    statuses = [
        (
            await anyone.get(
                anyone.industry_data,
                {"$expand": f"{name}($top=1)"},
                authorization=application(forge, *roles),
            )
        ).status
        for name in ("outboundProvisioningFlowSets", "roleGroups", "referenceDefinitions")
        for roles in ((FLOW_READ,), (FLOW_READ, READ_BASIC))
    ]
    assert statuses == [200, 200, 403, 200, 403, 200]
