"""The pages for people, in a real browser, against the running service."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from local import install
from local.access_token import application_token
from local.config import ROOT
from local.stack import Stack
from tests.pages import browser
from tests.pages.browser import Browser, BrowserError, Page
from tests.pages.looking import KINDS, PHONE, FlowSet, is_wider_than_the_window, violations


@contextlib.asynccontextmanager
async def status_page(
    chromium: Browser, origin: str, token: str, search: str = "", **size: int
) -> AsyncIterator[Page]:
    """The status page, signed in; with `search` it shows what that finds."""
    async with chromium.page(**size) as page:
        await sign_in(page, origin, token)
        await page.until("!document.querySelector('#content').hidden")
        if search:
            await page.fill("#search", search)
            await page.until("document.querySelector('#found').innerText === '1 flow set found'")
        yield page


async def sign_in(page: Page, origin: str, token: str) -> None:
    await page.open(f"{origin}/status")
    await page.until("!document.querySelector('#signin').hidden")
    await page.fill("#token", token)
    await page.press("Enter")


async def open_flow(page: Page, kind: str) -> None:
    """Open the details of a flow of the one set that is shown."""
    button = f"#sets td[data-label='{kind}'] button.flow"
    await page.until(f'document.querySelector("{button}")')
    await page.click(button)
    await page.until("document.querySelector('.details .entries')")


# --- how pages are served ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/status", "/docs", "/pages/status.js", "/pages/pages.css", "/pages/docs.css"]
)
async def test_pages_are_public_checked_by_etag_and_may_load_nothing_foreign(
    origin: str, path: str
) -> None:
    async with aiohttp.ClientSession() as anybody:
        async with anybody.get(origin + path) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            tag = response.headers["ETag"]
        async with anybody.get(origin + path, headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "//" not in policy


async def test_no_other_file_is_served(origin: str) -> None:
    async with aiohttp.ClientSession() as anybody:
        for name in (
            "docs.py",
            "..%2Fdocs.py",
            "%2e%2e%2fhttp.py",
            "none.js",
            "none/swagger-ui.css",
            "..%2F../pages.py",
            "%2e%2e/pages.py",
        ):
            async with anybody.get(f"{origin}/pages/{name}") as response:
                assert response.status == 404


def test_pages_have_no_script_and_no_style_of_their_own_and_name_no_other_host() -> None:
    own = [path for path in (ROOT / "functions" / "http" / "static").iterdir() if path.is_file()]
    assert own
    for page in own:
        text = page.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", text), page.name
        assert "http:" not in text, page.name
        assert "https:" not in text, page.name


# --- status: who may look ----------------------------------------------------------------------


async def test_without_a_token_no_request_is_sent(chromium: Browser, origin: str) -> None:
    async with chromium.page() as page:
        await page.open(f"{origin}/status")
        await page.until("!document.querySelector('#signin').hidden")
        assert "make token" in await page.text("#signin")
        assert not [url for _, url in page.requests if urlsplit(url).path == "/status/overview"]
        assert page.complaints == []


async def test_a_malformed_token_is_refused_in_a_sentence(chromium: Browser, origin: str) -> None:
    async with chromium.page() as page:
        await sign_in(page, origin, "nonsense")
        await page.until_text("The token was not accepted.")
        assert await page.run("document.activeElement.id") == "token"


async def test_a_token_without_the_permission_is_refused_in_a_sentence(
    chromium: Browser, origin: str, stack: Stack
) -> None:
    token = application_token(stack.config, "IndustryData.ReadBasic.All")
    async with chromium.page() as page:
        await sign_in(page, origin, token)
        await page.until_text("This token may not do that.")


async def test_a_token_stays_in_its_tab_until_it_is_forgotten(
    chromium: Browser, origin: str, reader: str
) -> None:
    async with status_page(chromium, origin, reader) as page:
        await page.open(f"{origin}/status")
        await page.until("!document.querySelector('#content').hidden")
        assert await page.run("localStorage.length") == 0
        await page.click("#forget")
        await page.until("!document.querySelector('#signin').hidden")
        assert await page.run("sessionStorage.length") == 0
        assert await page.run("document.querySelectorAll('.set').length") == 0


# --- status: what is shown ---------------------------------------------------------------------


async def test_flows_are_shown_by_kind_with_colour_text_reason_and_history(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    ready = await flow_set.add("security_group")
    await flow_set.until_ready(ready)
    await flow_set.add("user", creationOptions=None)
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await page.until_text("✕ failed")
        await page.until_text("✓ ready")
        colours = await page.run(
            "[...document.querySelectorAll('.flow .badge')]"
            ".map(badge => getComputedStyle(badge).backgroundColor)"
        )
        assert len(set(colours)) == 2
        for shown in ("createUnmatchedUsers needs creationOptions", "since ", "just now"):
            assert shown in await page.text("#sets td[data-label=Users]")
        await open_flow(page, "Users")
        details = await page.text(".details")
        assert "createUnmatchedUsers needs creationOptions" in details
        assert "Created; its check is on the way." in details
        assert page.complaints == []


async def test_a_change_shows_without_reload_and_leaves_focus_and_details_as_they_are(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    flow = await flow_set.add("administrative_unit")
    await flow_set.until_ready(flow)
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await page.until_text("✓ ready")
        await open_flow(page, "Administrative units")
        await page.run("document.querySelector('button.flow').focus()")
        nothing = {"createBasedOnOrg": False, "createBasedOnOrgPlusRoleGroup": False}
        await flow_set.send("PATCH", flow, {"creationOptions": nothing})
        await page.until_text("Changed; its check is on the way.")
        await page.until_text("Nothing would be created")
        assert await page.run("document.activeElement.className") == "flow plain"
        assert await page.run("document.activeElement.ariaExpanded") == "true"
        assert "disabled" in await page.run("document.querySelector('#news').textContent")


async def test_only_reads_are_sent(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    await flow_set.add("security_group")
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await open_flow(page, "Security groups")
        await page.click(".tile.failed")
        sent = [(method, url) for method, url in page.requests if url.startswith(origin)]
        assert len(sent) > 5
        assert {method for method, _ in page.requests} == {"GET"}
        # And nothing at all from elsewhere.
        assert len(sent) == len(page.requests)


async def test_sets_are_found_by_name_by_id_and_by_readiness(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    await flow_set.add("user", creationOptions=None)
    async with status_page(chromium, origin, reader, flow_set.id) as page:
        assert flow_set.name in await page.text("#sets")
        await page.fill("#search", flow_set.name.lower())
        await page.until_text("✕ failed")
        for status, shown in (("ready", "No flow set is like that."), ("failed", flow_set.name)):
            await page.click(f"[data-key={status}] button")
            await page.until_text(shown)
            await page.until(f"document.querySelector('.tile.{status}').ariaPressed === 'true'")
            assert f"status={status}" in await page.run("location.search")


async def test_counts_add_up(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    flow = await flow_set.add("class_group")
    await flow_set.until_ready(flow)
    async with status_page(chromium, origin, reader) as page:
        await page.run("document.querySelector('.kinds').open = true")
        # What goes through all sets is counted every few seconds.
        await page.until("parseInt(document.querySelector('.tile.ready .number').innerText) > 0")
        rows = await page.run(
            "[...document.querySelectorAll('#counts tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.innerText.replaceAll(',', '')))"
        )
        tiles = await page.run(
            "Object.fromEntries([...document.querySelectorAll('.tile')].map(tile =>"
            " [...tile.children].map(part => part.innerText.replaceAll(',', '')))"
            ".map(([name, ...rest]) => [name, rest]))"
        )
    assert {row[0] for row in rows} == {
        "Users",
        "Class groups",
        "Security groups",
        "Administrative units",
    }
    assert sum(int(row[-1]) for row in rows) == int(tiles["✓ ready"][1].split()[0])
    assert int(tiles["All flow sets"][0]) >= int(tiles["✓ ready"][0]) >= 1
    assert tiles["In the queue"][0].isdigit()
    assert tiles["Dead letters"][0].isdigit()


async def test_a_service_that_does_not_answer_is_reported_and_requested_again(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await page.offline(True)
        await page.until_text("The service does not answer.")
        assert flow_set.name in await page.text("#sets")
        await page.offline(False)
        await page.until("document.querySelector('#trouble').hidden")


async def test_names_are_text_and_nothing_else(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    name = f"<img src=x onerror=alert(1)> {flow_set.name}"
    await flow_set.send("PATCH", f"/{flow_set.id}", {"displayName": name})
    async with status_page(chromium, origin, reader, flow_set.id) as page:
        assert await page.text("#sets .name") == name
        assert await page.run("document.querySelectorAll('#sets img').length") == 0


async def test_the_page_is_used_by_keyboard_alone(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    await flow_set.add("security_group")
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await page.until("document.querySelector('.flow')")
        for _ in range(20):
            await page.press("Tab")
            if await page.run("document.activeElement.className") == "flow plain":
                break
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.run(outline) != "none"
        await page.press("Enter")
        await page.until("document.querySelector('.details .entries')")
        assert await page.run("document.activeElement.innerText") == (
            f"Security groups of {flow_set.name}"
        )
        await page.press("Escape")
        await page.until("!document.querySelector('.details')")
        assert await page.run("document.activeElement.className") == "flow plain"


# --- status: for everybody ----------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
async def test_axe_finds_nothing_and_all_fits(
    chromium: Browser,
    origin: str,
    token: str,
    flow_set: FlowSet,
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    dark: bool,
) -> None:
    for name in KINDS:
        await flow_set.add(name, **({"creationOptions": None} if name == "user" else {}))
    pictures = tmp_path_factory.mktemp("pictures")
    async with chromium.page(width=width) as page:
        if dark:
            await page.dark()
        await page.open(f"{origin}/status")
        await page.until("!document.querySelector('#signin').hidden")
        assert await violations(page) == []
        await sign_in(page, origin, token)
        await page.until("!document.querySelector('#content').hidden")
        await page.fill("#search", flow_set.name)
        await page.until("document.querySelectorAll('.set').length === 1")
        await page.until_text("✕ failed")
        await open_flow(page, "Users")
        await page.run("document.querySelector('.kinds').open = true")
        await page.screenshot(pictures / "status.png")
        assert await violations(page) == []
        assert not await is_wider_than_the_window(page)
        assert page.complaints == []
    assert all(picture.stat().st_size > 10_000 for picture in pictures.iterdir())


# --- the browser itself ------------------------------------------------------------------------


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_browser")
def test_without_a_browser_these_tests_fail_and_say_what_to_install() -> None:
    with pytest.raises(BrowserError, match="apt-get install"):
        browser.find_chromium()


@pytest.mark.usefixtures("no_browser")
def test_an_install_that_cannot_bring_a_browser_says_how(
    capsys: pytest.CaptureFixture[str],
) -> None:
    install.install_browser()
    assert "apt-get install chromium" in capsys.readouterr().err
