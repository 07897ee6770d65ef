"""/docs: Swagger UI as it is published, shipped with the service, in a real browser."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.swagger_ui import FILES, STATIC, digest, folder, shipped
from tests.pages.browser import Browser, Page
from tests.pages.looking import KINDS, PHONE, FlowSet, is_wider_than_the_window, violations

# The ids of elements end as those of operations do.
CREATE_FLOW = '.opblock[id$="CreateProvisioningFlows"]'
CREATE_SET = '.opblock[id$="CreateOutboundProvisioningFlowSets"]'
LIST_SETS = '.opblock[id$="ListOutboundProvisioningFlowSets"]'
VERSION, HASHES = shipped()
LIBRARY = f"/pages/{folder(VERSION).name}"


# --- the copy of the library -------------------------------------------------------------------


def test_the_library_is_the_published_one_with_its_licences_and_no_other_file() -> None:
    files = {path.name: digest(path.read_bytes()) for path in folder(VERSION).iterdir()}
    assert files == HASHES
    assert set(FILES) == set(HASHES)


def test_the_page_loads_the_version_that_is_shipped() -> None:
    page = (STATIC / "docs.html").read_text("utf-8")
    assert f'src="{LIBRARY}/swagger-ui-bundle.js"' in page
    assert f'href="{LIBRARY}/swagger-ui.css"' in page
    assert [path.name for path in STATIC.iterdir() if path.is_dir()] == [folder(VERSION).name]


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_packed_and_kept_by_browsers_as_its_address_has_the_version(
    origin: str, name: str
) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as anyone:
        url = f"{origin}{LIBRARY}/{name}"
        async with anyone.get(url, headers={"Accept-Encoding": "gzip"}) as response:
            body = await response.read()
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert "unsafe" not in response.headers["Content-Security-Policy"]
            tag = response.headers["ETag"]
            if len(body) > 1024:
                assert response.headers["Content-Encoding"] == "gzip"
                body = gzip.decompress(body)
        assert digest(body) == HASHES[name]
        async with anyone.get(url, headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")


# --- the page ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def docs(chromium: Browser, origin: str, **size: int) -> AsyncIterator[Page]:
    async with chromium.page(**size) as page:
        await page.open(f"{origin}/docs")
        await page.until("document.querySelector('.opblock')")
        yield page


async def authorize(page: Page, token: str) -> None:
    await page.click(".btn.authorize")
    await page.until("document.querySelector('[role=dialog] input')")
    await page.fill("[role=dialog] input", token)
    await page.press("Enter")
    await page.until("document.querySelector('[role=dialog]').innerText.includes('Logout')")
    await page.click("[role=dialog] .btn-done")
    await page.until("!document.querySelector('[role=dialog]')")


async def open_operation(page: Page, operation: str) -> None:
    await page.click(f"{operation} .opblock-summary-control")
    await page.until(f"document.querySelector('{operation} .execute')")
    await page.still()


async def execute(page: Page, operation: str, status: int) -> str:
    """Send the form; return the body that is shown, when the status is."""
    await page.click(f"{operation} .execute")
    live = f"{operation} .live-responses-table"
    await page.until(
        f"(document.querySelector('{live} .response .response-col_status') ?? {{}})"
        f".innerText?.startsWith('{status}')"
    )
    return await page.text(f"{live} .response .response-col_description")


async def test_the_four_published_examples_can_be_chosen_and_sent(
    chromium: Browser,
    origin: str,
    token: str,
    flow_set: FlowSet,
) -> None:
    async with docs(chromium, origin) as page:
        await authorize(page, token)
        await open_operation(page, CREATE_FLOW)
        await page.fill(
            f"{CREATE_FLOW} input[placeholder=outboundProvisioningFlowSet-id]", flow_set.id
        )
        choice = f"document.querySelector('{CREATE_FLOW} .examples-select-element')"
        names = await page.run(f"[...{choice}.options].map(option => option.value)")
        assert sorted(name for name in names if not name.startswith("__")) == sorted(KINDS)
        for name in KINDS:
            await page.run(
                f"{choice}.value = '{name}',"
                f"{choice}.dispatchEvent(new Event('change', {{bubbles: true}}))"
            )
            camel = "".join(part.title() if at else part for at, part in enumerate(name.split("_")))
            kind = f"{camel}ProvisioningFlow"
            await page.until(
                f"document.querySelector('{CREATE_FLOW} textarea').value.includes('.{kind}')"
            )
            assert kind in await execute(page, CREATE_FLOW, 201)
            await page.click(f"{CREATE_FLOW} .btn-clear")
        assert page.complaints == []
    made = await flow_set.send("GET", f"/{flow_set.id}/provisioningFlows")
    assert len(made["value"]) == 4


async def test_the_schema_of_a_body_is_beside_its_form(chromium: Browser, origin: str) -> None:
    async with docs(chromium, origin) as page:
        await open_operation(page, CREATE_SET)
        beside = f"{CREATE_SET} .body-and-schema > :last-child"
        await page.until(f"document.querySelector('{beside}').innerText.includes('displayName')")
        places = await page.run(
            f"[document.querySelector('{CREATE_SET} textarea'), document.querySelector('{beside}')]"
            ".map(element => element.getBoundingClientRect())"
            ".map(box => [box.left, box.right, box.top])"
        )
        (_, right, top), (left, _, beside_top) = places
        assert right <= left
        assert abs(top - beside_top) < 200


async def test_curl_is_there_to_copy_with_what_was_sent(
    chromium: Browser, origin: str, token: str
) -> None:
    async with docs(chromium, origin) as page:
        await authorize(page, token)
        await open_operation(page, LIST_SETS)
        await page.fill(f"{LIST_SETS} tr[data-param-name='$top'] input", "1")
        await execute(page, LIST_SETS, 200)
        command = await page.text(f"{LIST_SETS} .curl-command .curl")
        assert command.startswith("curl -X 'GET'")
        assert f"{origin}/beta/external/industryData/outboundProvisioningFlowSets?" in command
        assert f"Authorization: Bearer {token}" in command
        assert await page.run(f"!!document.querySelector('{LIST_SETS} .copy-to-clipboard button')")


async def test_a_query_is_sent_as_the_form_has_it(
    chromium: Browser,
    origin: str,
    token: str,
    flow_set: FlowSet,
) -> None:
    async with docs(chromium, origin) as page:
        await authorize(page, token)
        await open_operation(page, LIST_SETS)
        for name, text in (("$filter", f"id eq '{flow_set.id}'"), ("$select", "displayName")):
            await page.fill(f"{LIST_SETS} tr[data-param-name='{name}'] input", text)
        assert flow_set.name in await execute(page, LIST_SETS, 200)


async def test_the_faults_of_a_body_are_shown(
    chromium: Browser,
    origin: str,
    token: str,
    flow_set: FlowSet,
) -> None:
    async with docs(chromium, origin) as page:
        await authorize(page, token)
        await open_operation(page, CREATE_FLOW)
        await page.fill(
            f"{CREATE_FLOW} input[placeholder=outboundProvisioningFlowSet-id]", flow_set.id
        )
        await page.fill(f"{CREATE_FLOW} textarea", '{"@odata.type": "nonsense"}')
        answer = await execute(page, CREATE_FLOW, 400)
        assert "'nonsense' is not a type to use here" in answer


async def test_a_token_is_hidden_and_gone_when_the_page_is_left(
    chromium: Browser, origin: str, token: str
) -> None:
    async with docs(chromium, origin) as page:
        await page.click(".btn.authorize")
        await page.until("document.querySelector('[role=dialog] input[type=password]')")
        await page.click("[role=dialog] .btn-done")
        await authorize(page, token)
        stored = "localStorage.length + sessionStorage.length + document.cookie.length"
        assert await page.run(stored) == 0
        await page.open(f"{origin}/docs")
        await page.until("document.querySelector('.opblock')")
        await open_operation(page, LIST_SETS)
        assert "InvalidAuthenticationToken" in await execute(page, LIST_SETS, 401)


async def test_all_comes_from_the_service_itself(chromium: Browser, origin: str) -> None:
    async with docs(chromium, origin) as page:
        await open_operation(page, CREATE_FLOW)
        assert {
            url.split("?")[0].removeprefix(origin)
            for _, url in page.requests
            if not url.startswith("data:")
        } - {"/pages/icon.svg"} == {
            "/docs",
            "/openapi.json",
            "/pages/docs.css",
            "/pages/swagger-initializer.js",
            f"{LIBRARY}/swagger-ui-bundle.js",
            f"{LIBRARY}/swagger-ui.css",
        }
        assert page.complaints == []


async def test_the_page_is_used_by_keyboard_alone(chromium: Browser, origin: str) -> None:
    async with docs(chromium, origin) as page:
        focused = "document.activeElement"
        for _ in range(20):
            await page.press("Tab")
            if await page.run(f"{focused}.classList.contains('opblock-summary-control')"):
                break
        assert await page.run(f"getComputedStyle({focused}).outlineStyle") != "none"
        await page.press("Enter")
        await page.until(f"{focused}.closest('.opblock').querySelector('.execute')")
        await page.still()
        for _ in range(20):
            await page.press("Tab")
            if await page.run(f"{focused}.classList.contains('execute')"):
                break
        assert await page.run(f"{focused}.classList.contains('execute')")
        await page.press("Enter")
        await page.until("document.querySelector('.live-responses-table')")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
async def test_axe_finds_nothing_and_all_fits(
    chromium: Browser, origin: str, token: str, width: int, dark: bool
) -> None:
    async with docs(chromium, origin, width=width) as page:
        if dark:
            await page.dark()
        await open_operation(page, CREATE_FLOW)
        assert await violations(page) == []
        assert not await is_wider_than_the_window(page)
        await page.click(".btn.authorize")
        await page.until("document.querySelector('[role=dialog] input')")
        assert await violations(page) == []
        await page.click("[role=dialog] .btn-done")
        await authorize(page, token)
        await open_operation(page, CREATE_SET)
        await execute(page, CREATE_SET, 201)
        # Swagger UI gives each table of possible answers the role of a region, and no name.
        assert await violations(page, "landmark-unique") == []
        assert not await is_wider_than_the_window(page)
        assert page.complaints == []
