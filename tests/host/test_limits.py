"""What the real host's server and Azure's front end refuse."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from tests.host.host_process import HostProcess, exchange


def get(target: str = "/api/noop", *headers: str, method: str = "GET") -> bytes:
    """A request as bytes; the connection ends with it."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def status(host: HostProcess, request: bytes) -> int:
    """The status of the only answer, which has no body unless it is 200."""
    head, _, body = (await exchange(host, request)).partition(b"\r\n\r\n")
    code = int(head.split()[1])
    assert code == 200 or not body
    return code


# ---- request line and headers


@pytest.mark.parametrize("method", ["get", "Get", "gET"])
async def test_method_is_taken_in_any_case(method: str, host: HostProcess) -> None:
    assert await status(host, get(method=method)) == 200


async def test_function_sees_the_method_in_upper_case(host: HostProcess) -> None:
    for method in ("patch", "brew"):
        answer = await exchange(host, get("/api/echo/x", method=method))
        assert f'"method": "{method.upper()}"'.encode() in answer


@pytest.mark.parametrize(("length", "code"), [(8192, 404), (8193, 414), (60_000, 414)])
async def test_request_line_has_a_limit(length: int, code: int, host: HostProcess) -> None:
    padding = "x" * (length - len("GET / HTTP/1.1\r\n"))
    assert await status(host, get(f"/{padding}")) == code


@pytest.mark.parametrize(("length", "code"), [(4096, 200), (4097, 414)])
async def test_query_has_the_limit_of_the_front_end(
    length: int, code: int, host: HostProcess
) -> None:
    assert await status(host, get(f"/api/noop?{'x' * length}")) == code


@pytest.mark.parametrize(("number", "code"), [(98, 200), (99, 431)])
async def test_number_of_headers_has_a_limit(number: int, code: int, host: HostProcess) -> None:
    own = [f"X-{at}: 1" for at in range(number)]
    assert await status(host, get("/api/noop", *own)) == code


@pytest.mark.parametrize(("length", "code"), [(32_768, 200), (32_769, 431), (90_000, 431)])
async def test_headers_together_have_a_limit(length: int, code: int, host: HostProcess) -> None:
    rest = length - len("Host: x\r\nConnection: close\r\n")
    own = []
    while rest:  # parts of 5,000 bytes, none of which is too long by itself
        part = rest if rest < 6000 else 5000
        own.append(f"X: {'x' * (part - len('X: ' + chr(13) + chr(10)))}")
        rest -= part
    assert await status(host, get("/api/noop", *own)) == code


async def test_refusal_does_not_overtake_the_answer_before_it(host: HostProcess) -> None:
    first = b"GET /api/noop HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = await exchange(host, first + get(f"/{'x' * 9000}"))
    assert answers.index(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 414")


async def test_requests_on_one_connection_are_each_checked(host: HostProcess) -> None:
    post = b"post /api/echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    answers = await exchange(host, post + post + get(method="get"))
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b'"body": "abc"') == 2


async def test_head_in_pieces_is_put_together(host: HostProcess) -> None:
    url = URL(await host.url())
    reader, writer = await asyncio.open_connection(url.host, url.port)
    for byte in get(method="get"):
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


async def test_what_is_no_request_is_an_empty_400(host: HostProcess) -> None:
    assert await status(host, b"nonsense\r\n\r\n") == 400


async def test_empty_lines_before_a_request_are_ignored(host: HostProcess) -> None:
    assert await status(host, b"\r\n" + get(method="get")) == 200


# ---- paths


@pytest.fixture(scope="module")
async def catching(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostProcess]:
    """An app with one function, which takes every path that the host leaves it."""
    app = tmp_path_factory.mktemp("catching")
    settings = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}
    (app / "host.json").write_text(json.dumps(settings))
    (app / "function_app.py").write_text(
        "import azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "@app.route('{*rest}')\n"
        "async def everything(req: func.HttpRequest) -> str:\n"
        "    return 'the function'\n"
    )
    process = HostProcess(app, app / "log")
    try:
        await process.url()
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("target", "code", "by_function"),
    [
        ("/x", 200, True),
        ("/", 200, True),
        ("/admin", 200, True),
        ("/admin/nothing", 200, True),
        ("/ADMIN/host/status", 200, False),
        ("/admin/functions/nothing", 404, False),
        ("/runtime/webhooks/x", 401, False),
        ("/Runtime", 401, False),
        ("/runtimes", 200, True),
        ("//", 404, False),
        ("//x", 404, False),
        ("//admin/host/status", 404, False),
    ],
)
async def test_host_keeps_some_paths_to_itself(
    target: str, code: int, by_function: bool, catching: HostProcess
) -> None:
    answer = await exchange(catching, get(target))
    assert int(answer.split()[1]) == code
    assert (b"the function" in answer) == by_function


# ---- bodies


async def test_body_that_comes_too_slowly_is_cut_off(host: HostProcess) -> None:
    url = URL(await host.url())
    reader, writer = await asyncio.open_connection(url.host, url.port)
    began = time.monotonic()
    writer.write(b"POST /api/echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
    writer.write(b"x" * 1000)
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 500")
    assert 4.5 < time.monotonic() - began < 12
    writer.close()
    await writer.wait_closed()
