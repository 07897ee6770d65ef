"""The subscriptions of the status page."""

from __future__ import annotations

from local.stack import Stack
from tests.notifications.stored import alter
from tests.pages.browser import Browser
from tests.pages.looking import violations
from tests.pages.test_pages import status_page
from tests.support.api import Api
from tests.support.receiver import receiving, resource_of, subscribe


async def test_the_page_lists_subscriptions_and_their_health(
    chromium: Browser, origin: str, reader: str, service: Api, set_id: str, stack: Stack
) -> None:
    async with receiving() as receiver:
        made = await subscribe(service, receiver, resource=resource_of(set_id))
    await alter(stack, made["id"], {"attempts": 3, "fault": "status 500"})
    async with status_page(chromium, origin, reader) as page:
        await page.click("#subscriptions summary")
        await page.until_text(f"flow set {set_id}")
        rows = (await page.text("#subscriptions-table")).splitlines()
        [row] = [each for each in rows if set_id in each]
        assert all(each in row for each in (receiver.url, "paused", "status 500"))
        await page.until("document.querySelector('#list').ariaBusy !== 'true'")
        assert await violations(page) == []
