"""A page of another origin calls the service from a real browser, as CORS_ORIGINS lets it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.stack import Stack
from tests.pages.browser import Browser, BrowserError, Page
from tests.support.hosts import host

# What Graph's clients send, in one request.
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json;odata.metadata=full",
    "ConsistencyLevel": "eventual",
    "Prefer": "return=representation",
    "SdkVersion": "graph-js/3.0.7 (featureUsage=6)",
    "client-request-id": "b0e7d1f4-0000-4000-8000-00000000c025",
    "Retry-Attempt": "1",
}
SEND = """
(async (method, url, headers, body) => {
  const answer = await fetch(url, {method, headers, body});
  const text = await answer.text();
  return {status: answer.status, headers: Object.fromEntries(answer.headers), text};
})
"""


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Another origin: a server with an empty page."""

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Portal</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Portal:
    """Two pages of other origins, of which the service knows the first; its sets, and a token."""

    known: str
    unknown: str
    sets: str
    token: str

    async def send(
        self, page: Page, method: str, path: str = "", body: Any = None, **more: str
    ) -> Any:
        headers = {**HEADERS, "Authorization": f"Bearer {self.token}", **more}
        given = [method, self.sets + path, headers, None if body is None else json.dumps(body)]
        return await page.run(f"{SEND}(...{json.dumps(given)})")


@pytest.fixture(scope="module")
async def portal(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, token: str
) -> AsyncIterator[Portal]:
    folder: Path = tmp_path_factory.mktemp("origins")
    async with (
        site() as known,
        site() as unknown,
        host(stack, folder, CORS_ORIGINS=f"https://portal.contoso.com,{known}") as (api, _),
    ):
        yield Portal(known, unknown, api.sets, token)


async def test_a_page_of_a_configured_origin_works_with_the_api(
    chromium: Browser, portal: Portal
) -> None:
    async with chromium.page() as page:
        await page.open(portal.known)
        created = await portal.send(page, "POST", body={"displayName": "From a page"})
        assert created["status"] == 201
        assert created["headers"]["client-request-id"] == HEADERS["client-request-id"]
        assert created["headers"]["request-id"]
        location = created["headers"]["location"].removeprefix(portal.sets)
        tag = created["headers"]["etag"]
        changed = await portal.send(
            page, "PATCH", location, {"displayName": "Changed"}, **{"If-Match": tag}
        )
        assert changed["status"] == 200
        assert changed["headers"]["preference-applied"] == "return=representation"
        stale = await portal.send(
            page, "PATCH", location, {"displayName": "Late"}, **{"If-Match": tag}
        )
        assert json.loads(stale["text"])["error"]["code"] == "PreconditionFailed"
        assert (await portal.send(page, "DELETE", location))["status"] == 204
        gone = await portal.send(page, "GET", location)
        assert json.loads(gone["text"])["error"]["code"] == "Request_ResourceNotFound"


async def test_a_page_reads_that_its_token_is_refused(chromium: Browser, portal: Portal) -> None:
    async with chromium.page() as page:
        await page.open(portal.known)
        refused = await portal.send(page, "GET", Authorization="Bearer nonsense")
        assert refused["status"] == 401
        assert refused["headers"]["www-authenticate"].startswith("Bearer")
        assert json.loads(refused["text"])["error"]["code"] == "InvalidAuthenticationToken"


async def test_a_page_of_another_origin_gets_no_answer(chromium: Browser, portal: Portal) -> None:
    async with chromium.page() as page:
        await page.open(portal.unknown)
        with pytest.raises(BrowserError, match="Failed to fetch"):
            await portal.send(page, "GET")
        assert any("blocked by CORS policy" in each for each in page.complaints)


async def test_a_page_cannot_send_a_header_that_the_service_does_not_know(
    chromium: Browser, portal: Portal
) -> None:
    async with chromium.page() as page:
        await page.open(portal.known)
        with pytest.raises(BrowserError, match="Failed to fetch"):
            await portal.send(page, "GET", **{"X-Other": "1"})
