"""The local host's HTTP rules, seen by a client and by the functions behind it."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from local.host.http import BadRequest, decode_path, read_query
from tests.host.host_process import HostProcess, exchange

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def seen(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    assert answer.status == 200
    found = await answer.json()
    assert isinstance(found, dict)
    return found


# ---- what a function is given


async def test_request_has_the_workers_class(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/echo/x") as answer:
        assert (await seen(answer))["class"] == "azure.functions.http.HttpRequest"


async def test_url_is_the_clients(client: aiohttp.ClientSession) -> None:
    target = URL("/api/echo/a%20b%2Fc?x=%20y&z", encoded=True)
    async with client.get(target, headers={"Host": "example.test:99"}) as answer:
        url = (await seen(answer))["url"]
    assert url == "http://example.test:99/api/echo/a%20b%2Fc?x=%20y&z"


async def test_repeated_headers_are_joined_under_a_lower_case_name(host: HostProcess) -> None:
    answer = await exchange(
        host,
        b"GET /api/echo/x HTTP/1.1\r\nHost: x\r\nX-Many: one\r\nx-MANY: two\r\n"
        b"Connection: close\r\n\r\n",
    )
    assert b'"x-many": "one,two"' in answer


async def test_header_that_is_not_utf_8_is_refused(host: HostProcess) -> None:
    answer = await exchange(
        host, b"GET /api/noop HTTP/1.1\r\nHost: x\r\nX-Bad: \xff\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400")


async def test_repeated_query_names_are_joined_and_empty_values_dropped(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/api/echo/x?a=1&a=&A=2&empty=&none&b=3") as answer:
        assert (await seen(answer))["params"] == {"A": "1,2", "b": "3"}


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("", {}),
        ("a=1+2%2B", {"a": "1 2+"}),
        ("a=%ff%C3%BC", {"a": "%FFü"}),
        ("$filter=a%20eq%20'b'&&x", {"$filter": "a eq 'b'"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=&a=1&a=", {"a": "1"}),
        ("top=1&TOP=2", {"TOP": "1,2"}),
    ],
)
def test_query_is_decoded(raw: str, values: dict[str, str]) -> None:
    assert read_query(raw) == values


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a%20b", "/a b"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%252Fb", "/a%2Fb"),
        ("/%C3%BC", "/ü"),
        ("/%FF", "/%FF"),
        ("/a/../b/./c", "/b/c"),
        ("/a/..", "/"),
        ("/../../b", "/b"),
        ("/.well-known", "/.well-known"),
        ("/%2e%2e/b", "/b"),
    ],
)
def test_path_is_decoded(raw: str, path: str) -> None:
    assert decode_path(raw) == path


def test_null_character_in_the_path_is_refused() -> None:
    with pytest.raises(BadRequest):
        decode_path("/a%00")


async def test_body_of_known_length_is_forwarded(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/echo/x", data=b"\x00\xff") as answer:
        assert (await seen(answer))["body"] == "\x00ÿ"


async def test_chunked_body_arrives_empty(client: aiohttp.ClientSession) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    async with client.post("/api/echo/x", data=body()) as answer:
        assert (await seen(answer))["body"] == ""


async def test_connection_goes_on_after_a_chunked_body(host: HostProcess) -> None:
    chunked = (
        b"POST /api/echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    )
    then = b"GET /api/noop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(host, chunked + then)).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd"])
async def test_body_is_never_unpacked(coding: str, client: aiohttp.ClientSession) -> None:
    packed = gzip.compress(b"{}")
    async with client.post(
        "/api/echo/x", data=packed, headers={"Content-Encoding": coding}
    ) as answer:
        found = await seen(answer)
    assert (found["body"], found["headers"]["content-encoding"]) == (
        packed.decode("latin-1"),
        coding,
    )


async def test_body_above_the_limit_fails_as_the_host_fails(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/echo/x", data=b"x" * 100_001) as answer:
        assert (answer.status, await answer.read()) == (500, b"")


async def test_body_at_the_limit_is_taken(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/echo/x", data=b"x" * 100_000) as answer:
        assert len((await seen(answer))["body"]) == 100_000


async def test_client_that_waits_for_100_continue_gets_it(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/echo/x", data=b"abc", expect100=True) as answer:
        assert (await seen(answer))["body"] == "abc"


async def test_route_values_reach_the_function(client: aiohttp.ClientSession) -> None:
    async with client.get("/API/Items/5/PARTS/A%20b") as answer:
        assert (await seen(answer))["route"] == {"id": "5", "part": "A b"}


# ---- which function answers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/noop"),
        ("GET", "/"),
        ("GET", "/api/items/x/parts"),
        ("POST", "/api/noop"),
        ("HEAD", "/api/noop"),
        ("OPTIONS", "/api/noop"),
        ("GET", "/admin/nothing"),
        ("noop", "/api/noop"),
    ],
)
async def test_what_no_function_serves_is_an_empty_404(
    method: str, path: str, client: aiohttp.ClientSession
) -> None:
    async with client.request(method, path) as answer:
        assert (answer.status, await answer.read()) == (404, b"")


async def test_first_function_by_name_wins(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/order/recent") as answer:
        assert await answer.json() == "order_a"


async def test_names_are_compared_in_upper_case(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/under/score") as answer:
        assert await answer.json() == "underscore"


async def test_every_method_reaches_a_function_without_methods(
    client: aiohttp.ClientSession,
) -> None:
    async with client.request("OPTIONS", "/api/echo/x") as answer:
        assert (await seen(answer))["method"] == "OPTIONS"


async def test_head_has_no_body(client: aiohttp.ClientSession) -> None:
    async with client.head("/api/answers/default") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert not {"Content-Length", "Transfer-Encoding"} & set(answer.headers)


# ---- what a client is given


async def test_plain_text_is_the_default(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/answers/default") as answer:
        assert answer.headers.getall("Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize(("kind", "length"), [("default", None), ("length", "5"), ("empty", "0")])
async def test_answer_has_a_length_only_if_it_is_empty_or_the_function_gave_one(
    kind: str, length: str | None, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"/api/answers/{kind}") as answer:
        assert answer.headers.get("Content-Length") == length
        assert ("Transfer-Encoding" in answer.headers) == (length is None)
        assert len(await answer.read()) == int(length or 5)


async def test_explicit_content_type_wins(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/answers/explicit") as answer:
        assert answer.headers.getall("Content-Type") == ["application/x-own"]


async def test_repeated_answer_headers_keep_the_last_except_cookies(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/api/answers/repeated") as answer:
        assert answer.headers.getall("X-Many") == ["last"]
        assert answer.headers.getall("Set-Cookie") == ["a=1; HttpOnly; Path=/", "b=2"]


async def test_answer_may_be_text(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/text") as answer:
        assert (await answer.text(), answer.content_type) == ("grüße", "text/plain")


async def test_body_is_dropped_from_an_answer_that_may_have_none(host: HostProcess) -> None:
    request = b"GET /api/answers/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(host, request)
    assert answer.startswith(b"HTTP/1.1 204")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("kind", "logged"),
    [
        ("newline", "must not contain newline characters"),
        ("surrogate", "has a control or non-ASCII character"),
        ("none", "it returned NoneType instead of func.HttpResponse or str"),
        ("dict", "it returned dict instead of func.HttpResponse or str"),
        ("wrong-length", "its Content-Length is '4', but its body has 5 bytes"),
        ("other", 'raise RuntimeError("raised on purpose")'),
    ],
)
async def test_failed_function_is_an_empty_500_and_logged(
    kind: str, logged: str, client: aiohttp.ClientSession, host: HostProcess
) -> None:
    async with client.get(f"/api/answers/{kind}") as answer:
        assert (answer.status, await answer.read()) == (500, b"")
    assert logged in host.output


async def test_traceback_comes_once(client: aiohttp.ClientSession, host: HostProcess) -> None:
    before = host.output.count("(traceback as before)")
    for _ in range(3):
        async with client.get("/api/answers/other") as answer:
            assert answer.status == 500
    assert host.output.count('raise RuntimeError("raised on purpose")') == 1
    assert host.output.count("RuntimeError: raised on purpose (traceback as before)") > before


# ---- where a function runs


async def test_async_function_runs_in_the_loop_and_surroundings_of_its_import(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/api/surroundings") as answer:
        found = await seen(answer)
    assert found["same loop"] is True
    assert found["cwd"] == found["last path"] == found["directory"]
    assert found["level"] == 20


async def test_environment_wins_over_local_settings(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/surroundings") as answer:
        found = await seen(answer)
    assert (found["from file"], found["from both"]) == ("file", "process")


async def test_log_line_names_function_and_invocation(
    client: aiohttp.ClientSession, host: HostProcess
) -> None:
    async with client.get("/api/surroundings") as answer:
        assert answer.status == 200
    assert re.search(
        r"^\[\d{4}-\d\d-\d\dT\S+Z\] INFO surroundings [0-9a-f-]{36} "
        r"app.surroundings: logged by the app$",
        host.output,
        re.M,
    )


async def test_bodies_and_queries_are_not_logged(
    client: aiohttp.ClientSession, host: HostProcess
) -> None:
    async with client.post("/api/echo/marked?q=hidden-query", data="hidden-body") as answer:
        await seen(answer)
    assert "/api/echo/marked" in host.output
    assert "hidden" not in host.output


async def test_decorator_with_wraps_is_run(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/wrapped") as answer:
        assert await answer.text() == "QUIET"


# ---- /admin


async def test_status_says_running(client: aiohttp.ClientSession) -> None:
    async with client.get("/admin/host/status") as answer:
        assert (await seen(answer))["state"] == "Running"


async def test_ping(client: aiohttp.ClientSession) -> None:
    async with client.post("/admin/host/ping") as answer:
        assert answer.status == 200


async def test_http_function_is_not_started_by_hand(client: aiohttp.ClientSession) -> None:
    async with client.post("/admin/functions/unnamed", json={}) as answer:
        assert answer.status == 404
