"""What an operator does on the status page: links, pages, actions, outages."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob.aio import BlobServiceClient

from local.stack import Stack
from shared.adapters.archive import Archive
from shared.contract.dead_letters import QueueMessage
from shared.domain.context import LOCAL_TENANT
from tests.pages.browser import Browser, Page
from tests.pages.looking import FlowSet, faults_of_any_look
from tests.pages.test_pages import open_flow, status_page

UNKNOWN = (
    "[...document.querySelectorAll('.tile')].filter(tile => tile.children[1].innerText === '?')"
    ".map(tile => tile.children[0].innerText)"
)
CONFIRMING = "document.querySelector('#confirm').open"
ACTIVE = "document.activeElement"


# --- the list ----------------------------------------------------------------------------------


async def test_search_and_filter_are_in_the_address_and_can_be_linked_to(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    await flow_set.add("user", creationOptions=None)
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await page.until_text("✕ failed")
        await page.click(".tile.failed")
        await page.until("location.search.includes('status=failed')")
        address = await page.run("location.href")
        await page.run("history.back()")
        await page.until("document.querySelector('.tile.failed').ariaPressed === 'false'")
        await page.open(address)
        await page.until(f"document.querySelector('#search')?.value === '{flow_set.name}'")
        await page.until("document.querySelector('.tile.failed')?.ariaPressed === 'true'")
        await page.until("document.querySelectorAll('.set').length === 1")
        link = await page.run("document.querySelector('#sets .name').href")
        assert link == f"{origin}/status?search={flow_set.id}"
        await page.open(link)
        await page.until_text(flow_set.name)


async def test_a_set_is_found_by_its_flows_id_and_the_search_shows(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    flow = (await flow_set.add("security_group")).rpartition("/")[2]
    async with status_page(chromium, origin, reader) as page:
        await page.run(
            "window.said = [], new MutationObserver(() => window.said.push("
            "document.querySelector('#found').textContent))"
            ".observe(document.querySelector('#found'), {childList: true, subtree: true})"
        )
        await page.fill("#search", flow)
        await page.until_text("1 flow set found")
        assert flow_set.name in await page.text("#sets")
        assert await page.run("window.said[0]") == "Searching …"
        assert "Times are in " in await page.text("#choose")


async def test_pages_go_on_to_the_last_set_and_back(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    name = str(uuid.uuid4())
    for number in range(51):
        await flow_set.send("POST", "", {"displayName": f"{name} {number:02}"})
    async with status_page(chromium, origin, reader) as page:
        await page.fill("#search", name)
        await page.until_text("1 to 50 of 51")
        await page.click("#next")
        await page.until_text("51 to 51 of 51")
        assert await page.text("#sets .name") == f"{name} 50"
        assert await page.run(f"{ACTIVE}.id") == "list"
        assert await page.run("document.querySelector('#next').disabled")
        assert "page=2" in await page.run("location.search")
        await page.click("#previous")
        await page.until_text("1 to 50 of 51")


# --- actions -----------------------------------------------------------------------------------


async def test_a_reader_is_offered_no_action(
    chromium: Browser, origin: str, reader: str, flow_set: FlowSet
) -> None:
    await flow_set.add("security_group")
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await open_flow(page, "Security groups")
        assert "With a token that may write" in await page.text(".acts")
        assert await page.run("document.querySelectorAll('.acts button').length") == 0


async def test_a_flow_is_reset_once_that_is_confirmed(
    chromium: Browser, origin: str, token: str, flow_set: FlowSet
) -> None:
    flow = await flow_set.add("security_group")
    await flow_set.until_ready(flow)
    async with status_page(chromium, origin, token, flow_set.name) as page:
        await open_flow(page, "Security groups")
        await page.click(".acts button")
        await page.until(CONFIRMING)
        assert await faults_of_any_look(page) == []
        await page.click("#confirm-no")
        await page.until(f"!{CONFIRMING}")
        assert {method for method, _ in page.requests} == {"GET"}
        await page.click(".acts button")
        await page.until(CONFIRMING)
        await page.click("#confirm-yes")
        await page.until_text("Reset; its check is on the way.")
        assert [url for method, url in page.requests if method == "POST"] == [
            f"{flow_set.sets}{flow}/reset"
        ]
        await page.until(f"{ACTIVE}.innerText === 'Security groups of {flow_set.name}'")
        await page.until_text("revision 2")


async def test_a_refused_action_says_why_and_the_dialog_stays(
    chromium: Browser, origin: str, token: str, flow_set: FlowSet
) -> None:
    flow = await flow_set.add("security_group")
    async with status_page(chromium, origin, token, flow_set.name) as page:
        await open_flow(page, "Security groups")
        await page.click(".acts button")
        await page.until(CONFIRMING)
        await flow_set.send("DELETE", flow)
        await page.click("#confirm-yes")
        await page.until("!document.querySelector('#confirm-trouble').hidden")
        assert "does not exist" in await page.text("#confirm-trouble")


@pytest.fixture
async def letter(stack: Stack) -> AsyncIterator[str]:
    """A dead letter older than all others: the first of the list."""
    connection = stack.config.storage_connection
    async with BlobServiceClient.from_connection_string(connection) as client:
        yield await Archive(client, LOCAL_TENANT).keep(
            QueueMessage(
                message_id=str(uuid.uuid4()),
                sequence_number=int(uuid.uuid4()) % 10**9,
                enqueued=datetime.now(UTC) - timedelta(days=365),
                delivery_count=5,
                content_type=None,
                properties={},
                body=b"{}",
            )
        )


async def open_letters(page: Page, name: str) -> None:
    await page.click("[data-key=dead] button")
    await page.until(f"document.querySelector('#letters [data-key=\"{name}\"]')")


async def test_a_dead_letter_is_discarded_with_a_reason(
    chromium: Browser, origin: str, token: str, letter: str
) -> None:
    async with status_page(chromium, origin, token) as page:
        await open_letters(page, letter)
        assert await page.run(f"{ACTIVE}.id") == "letters-title"
        assert await faults_of_any_look(page) == []
        await page.click(f"[aria-label='Discard {letter}']")
        await page.until(CONFIRMING)
        assert await page.run(f"{ACTIVE}.id") == "confirm-reason"
        assert await faults_of_any_look(page) == []
        await page.fill("#confirm-reason", "A test made it.")
        await page.press("Enter")
        await page.until(f"!document.querySelector('#letters [data-key=\"{letter}\"]')")
        assert await page.run(f"{ACTIVE}.id") == "letters-title"


async def test_a_dead_letter_that_would_be_refused_again_is_not_replayed_and_it_is_said_why(
    chromium: Browser, origin: str, token: str, letter: str
) -> None:
    async with status_page(chromium, origin, token) as page:
        await open_letters(page, letter)
        await page.click(f"[aria-label='Replay {letter}']")
        await page.until(CONFIRMING)
        assert await faults_of_any_look(page) == []
        await page.click("#confirm-yes")
        await page.until("!document.querySelector('#confirm-trouble').hidden")
        assert "not a readiness event" in await page.text("#confirm-trouble")
        assert await faults_of_any_look(page) == []
        await page.press("Escape")
        await page.until(f"!{CONFIRMING}")
        await page.click("#letters-close")
        assert await page.run(f"{ACTIVE}.classList.contains('dead')")


# --- outages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "banner", "unknown"),
    [
        ("cosmos", "Cosmos DB does not answer.", []),
        ("service_bus", "Service Bus does not answer.", ["In the queue"]),
        ("azurite", "Blob Storage does not answer.", ["Dead letters"]),
    ],
)
async def test_an_outage_names_the_part_that_is_away_and_only_its_own_number_is_unknown(
    chromium: Browser,
    origin: str,
    reader: str,
    stack: Stack,
    flow_set: FlowSet,
    part: str,
    banner: str,
    unknown: list[str],
) -> None:
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        await asyncio.to_thread(stack.kill, part)
        try:
            await page.until(
                "(dispatchEvent(new Event('online')), document.querySelector('#trouble')"
                f".innerText.startsWith('{banner}'))",
                60,
            )
            assert await page.text("#trouble strong") == banner
            assert await page.run("document.querySelectorAll('#trouble p').length") == 1
            assert flow_set.name in await page.text("#sets")
            assert await page.run(UNKNOWN) == unknown
            assert await faults_of_any_look(page) == []
        finally:
            await asyncio.to_thread(stack.start, part)
        await page.until(
            "(dispatchEvent(new Event('online')), document.querySelector('#trouble').hidden)"
            f" && !{UNKNOWN}.length",
            60,
        )


async def test_of_two_parts_that_are_away_neither_is_said_to_leave_the_other_working(
    chromium: Browser, origin: str, reader: str, stack: Stack, flow_set: FlowSet
) -> None:
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        for part in ("cosmos", "service_bus"):
            await asyncio.to_thread(stack.kill, part)
        try:
            await page.until(
                "(dispatchEvent(new Event('online')),"
                " document.querySelectorAll('#trouble p').length === 2)",
                60,
            )
            said = await page.text("#trouble")
            assert "Cosmos DB does not answer." in said
            assert "Service Bus does not answer." in said
            assert "can be read and changed" not in said
            assert "wait in the queue" not in said
            assert (await page.text("#live")).startswith("Not live; last read at ")
            assert await faults_of_any_look(page) == []
        finally:
            await asyncio.to_thread(stack.start, "cosmos", "service_bus")
        await page.until(
            "(dispatchEvent(new Event('online')), document.querySelector('#trouble').hidden)", 60
        )


async def test_an_issuer_that_was_away_since_the_start_is_named(
    chromium: Browser, origin: str, reader: str, stack: Stack, flow_set: FlowSet
) -> None:
    async with status_page(chromium, origin, reader, flow_set.name) as page:
        for part in ("issuer", "host"):
            await asyncio.to_thread(stack.kill, part)
        try:
            # With the issuer's keys in memory, the service would miss nothing.
            await asyncio.to_thread(stack.start, "host")
            await page.until(
                "(dispatchEvent(new Event('online')), document.querySelector('#trouble')"
                ".innerText.startsWith('The token issuer does not answer.'))",
                60,
            )
            assert (await page.text("#live")).startswith("Not live; last read at ")
            assert flow_set.name in await page.text("#sets")
        finally:
            await asyncio.to_thread(stack.start, "issuer")
        await page.until(
            "(dispatchEvent(new Event('online')), document.querySelector('#trouble').hidden)", 60
        )
