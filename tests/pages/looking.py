"""What the tests of pages share: flow sets to look at, and what axe-core and the window say."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import aiohttp

from local.config import ROOT
from tests.pages.browser import Page

AXE = ROOT / "tests" / "node_modules" / "axe-core" / "axe.min.js"
PAYLOADS = ROOT / "shared" / "contract" / "examples"
KINDS = ("user", "class_group", "security_group", "administrative_unit")
PHONE = 375
SCREEN = 1280
# What reports of axe-core count here; it has "minor" below them.
SERIOUS = ("critical", "serious", "moderate")


class FlowSet:
    """A new flow set with a name of its own, and what a test does to it over the API."""

    def __init__(self, http: aiohttp.ClientSession, api: str) -> None:
        self._http = http
        self.sets = f"{api}/external/industryData/outboundProvisioningFlowSets"
        self.name = f"Set {uuid.uuid4()}"
        self.id = ""

    async def create(self) -> None:
        self.id = (await self.send("POST", "", {"displayName": self.name}))["id"]

    async def add(self, name: str, **change: Any) -> str:
        """Create a published flow, changed; return its path below the sets."""
        body = json.loads((PAYLOADS / f"{name}.request.json").read_text("utf-8")) | change
        flow = await self.send("POST", f"/{self.id}/provisioningFlows", body)
        return f"/{self.id}/provisioningFlows/{flow['id']}"

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, self.sets + path, json=body) as response:
            assert response.ok, await response.text()
            text = await response.text()
            return json.loads(text) if text else None

    async def until_ready(self, path: str) -> None:
        deadline = time.monotonic() + 30
        while (await self.send("GET", path))["readinessStatus"] != "ready":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def violations(page: Page, *accepted: str) -> list[str]:
    """What axe-core finds that matters, but for the rules that a test accepts."""
    await page.run(AXE.read_text("utf-8"))
    found = await page.run("axe.run().then(result => JSON.stringify(result.violations))")
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in json.loads(found)
        if each["impact"] in SERIOUS and each["id"] not in accepted
    ]


async def is_wider_than_the_window(page: Page) -> bool:
    wider: bool = await page.run("document.documentElement.scrollWidth > innerWidth")
    return wider


async def faults_of_any_look(page: Page) -> list[str]:
    """What axe-core finds, and whether all fits, with both themes on a screen and on a phone."""
    found = []
    for width in (PHONE, SCREEN):
        await page.resize(width, 900)
        for is_dark in (True, False):
            await page.dark(is_dark)
            look = f"{width} pixels, {'dark' if is_dark else 'light'}"
            found += [f"{look}: {each}" for each in await violations(page)]
            if await is_wider_than_the_window(page):
                found.append(f"{look}: wider than the window")
    return found
