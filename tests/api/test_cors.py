"""What browsers are answered for pages of other origins: nothing, unless CORS_ORIGINS has them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from functions.http import pages
from functions.http.cors import REQUEST_HEADERS, RESPONSE_HEADERS
from local.stack import Stack
from tests.support.api import UNKNOWN, Answer, Api, assert_envelope
from tests.support.hosts import host

PORTAL = "https://portal.contoso.com"
LOCAL = "http://localhost:3000"
FOREIGN = ("https://portal.contoso.com.evil.example", "https://PORTAL.contoso.com", "null", "*", "")
FLOW_SETS = "/beta/external/industryData/outboundProvisioningFlowSets"
PATHS = {
    FLOW_SETS: "GET, HEAD, OPTIONS, POST",
    f"{FLOW_SETS}('{UNKNOWN}')": "DELETE, GET, HEAD, OPTIONS, PATCH",
    f"{FLOW_SETS}/{UNKNOWN}/provisioningFlows/{UNKNOWN}/reset": "OPTIONS, POST",
    "/beta/$batch": "OPTIONS, POST",
    "/beta/$metadata": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
}


@pytest.fixture(scope="module")
async def shared(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Api, str]]:
    """The API on a host that knows two origins, and its address without /beta."""
    state = tmp_path_factory.mktemp("cors")
    async with host(stack, state, CORS_ORIGINS=f"{PORTAL},{LOCAL}") as (api, _):
        yield api, api.root.removesuffix("/beta")


def of_cors(answer: Answer) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


async def preflight(api: Api, url: str, origin: str, method: str = "GET") -> Answer:
    return await api.send(
        "OPTIONS", url, Origin=origin, Access_Control_Request_Method=method, authorization=""
    )


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_a_preflight_gets_exactly_the_methods_of_its_path_without_a_token(
    shared: tuple[Api, str], path: str
) -> None:
    api, site = shared
    answer = await preflight(api, site + path, PORTAL, "PATCH")
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
    assert answer.headers["Access-Control-Allow-Methods"] == PATHS[path]
    assert answer.headers["Access-Control-Allow-Headers"] == ", ".join(REQUEST_HEADERS)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_each_origin_is_answered_with_itself(shared: tuple[Api, str]) -> None:
    api, site = shared
    for origin in (PORTAL, LOCAL):
        for answer in (
            await preflight(api, site + FLOW_SETS, origin),
            await api.get(f"{site}/openapi.json", Origin=origin),
        ):
            assert answer.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_origin_gets_no_header_and_caches_keep_its_answer_apart(
    shared: tuple[Api, str], origin: str
) -> None:
    api, site = shared
    for answer in (
        await preflight(api, site + FLOW_SETS, origin),
        await api.get(f"{site}/beta/$metadata", Origin=origin),
    ):
        assert of_cors(answer) == []
        assert answer.headers["Vary"] == "Accept-Encoding, Origin"


async def test_a_request_without_an_origin_is_kept_apart_too(shared: tuple[Api, str]) -> None:
    api, site = shared
    answer = await api.get(f"{site}/beta/$metadata")
    assert of_cors(answer) == []
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", FLOW_SETS, 401),
        ("GET", "/beta/nothing", 400),
        ("OPTIONS", "/beta/nothing", 400),
        ("DELETE", FLOW_SETS, 405),
        ("GET", f"/beta/{'x' * 8000}", 414),
        ("GET", "/pages/none.js", 404),
    ],
)
async def test_a_page_can_read_a_refusal(
    shared: tuple[Api, str], method: str, path: str, status: int
) -> None:
    api, site = shared
    answer = await api.send(method, site + path, Origin=PORTAL, authorization="")
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
    assert answer.headers["Access-Control-Expose-Headers"] == ", ".join(RESPONSE_HEADERS)
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"


async def test_a_page_can_read_an_answer(shared: tuple[Api, str], token: str) -> None:
    api, _ = shared
    bearer = f"Bearer {token}"
    body = json.dumps({"displayName": "From a page"}).encode()
    created = await api.send("POST", api.sets, body, Origin=LOCAL, authorization=bearer)
    assert created.status == 201
    assert created.headers["Access-Control-Expose-Headers"] == ", ".join(RESPONSE_HEADERS)
    assert of_cors(await api.get(api.sets, authorization=bearer)) == []


async def test_the_parts_of_a_batch_name_no_origin(shared: tuple[Api, str], token: str) -> None:
    api, _ = shared
    batch = {"requests": [{"id": "1", "method": "GET", "url": "/external/industryData"}]}
    answer = await api.post(
        f"{api.root}/$batch", batch, Origin=PORTAL, authorization=f"Bearer {token}"
    )
    assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
    [part] = answer.json()["responses"]
    assert part["status"] == 200
    assert not [name for name in part["headers"] if name.startswith("Access-Control")]


async def test_without_the_setting_no_origin_is_answered(service: Api) -> None:
    for answer in (
        await preflight(service, service.sets, PORTAL),
        await service.get(service.sets, Origin=PORTAL),
    ):
        assert of_cors(answer) == []
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_a_wrong_setting_serves_no_caller(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, token: str
) -> None:
    async with host(stack, tmp_path_factory.mktemp("star"), CORS_ORIGINS="*") as (api, _):
        answer = await api.get(api.sets, Origin="*", authorization=f"Bearer {token}")
        assert_envelope(answer, 500, "InternalServerError")
        assert of_cors(answer) == []


def test_every_header_that_the_description_has_can_be_sent_and_read() -> None:
    document = json.loads(pages.description()[0])["components"]
    sent = {each["name"] for each in document["parameters"].values() if each["in"] == "header"}
    assert {"If-Match", "Prefer", "client-request-id"} <= sent
    assert sent <= set(REQUEST_HEADERS)
    # Vary is for caches.
    assert set(document["headers"]) - {"Vary"} <= set(RESPONSE_HEADERS)


def test_names_of_headers_are_sorted_and_named_once() -> None:
    for names in (REQUEST_HEADERS, RESPONSE_HEADERS):
        assert list(names) == sorted(set(names), key=str.lower)
