"""The browser, and what the tests of pages open in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.access_token import READ, application_token
from local.stack import Stack
from tests.pages.browser import Browser
from tests.pages.looking import FlowSet


@pytest.fixture(scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with Browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="session")
def origin(api: str) -> str:
    return api.removesuffix("/beta")


@pytest.fixture(scope="session")
def reader(stack: Stack) -> str:
    """A token that only reads, as an operator has."""
    return application_token(stack.config, *READ)


@pytest.fixture
async def flow_set(http: aiohttp.ClientSession, api: str) -> FlowSet:
    made = FlowSet(http, api)
    await made.create()
    return made
