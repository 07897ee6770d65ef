"""The most that any request sets off, counted: calls, evaluation steps, store requests, bytes.

The requests are those of bench/hostile.py, which measures their time. Here nothing depends on how
fast the machine is: the app runs in this process, on the emulators, and each function that it
calls is counted.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import azure.functions as func
import pytest

import function_app  # noqa: F401 - its import registers the operations
from bench.hostile import Hostile, hostile
from bench.hostile_bodies import EVENT_BYTES, events
from functions.http.batch import MAX_ANSWER_BYTES
from functions.http.operations import ROUTES, dispatch
from local.settings import example_values
from local.stack import Stack
from local.swagger_ui import folder, shipped
from shared import bootstrap
from shared.contract.events import read_event
from shared.domain.context import MAX_STEPS, steps, within
from shared.domain.errors import InvalidEvent
from tests.support.api import UNKNOWN, Api
from tests.support.app import forget
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosRequests

KEYS = {
    "set_id": UNKNOWN,
    "flow_id": UNKNOWN,
    "group_id": UNKNOWN,
    "definition_id": "RefRole-teacher",
    "name": "status.js",
    "library": folder(shipped()[0]).name,
    "file": "swagger-ui-bundle.js",
}
REQUESTS = hostile(KEYS)
EVENTS = events()
# Calls of functions, those of the interpreter included; twice what is needed today.
WITHOUT_TOKEN, WITH_TOKEN = 150_000, 1_500_000
EVENT_CALLS = 250_000
STORE_REQUESTS = 100
SECONDS = 60


def chosen(requests: Iterable[Hostile]) -> list[Hostile]:
    """One of each kind at each place, the operations and the lists in a batch taking turns."""
    groups: dict[tuple[str, str], list[Hostile]] = {}
    for each in requests:
        kind = re.sub("20 times .*, ", "20 times ", each.kind)
        groups.setdefault((each.place.partition(" {")[0], kind), []).append(each)
    return [own[turn % len(own)] for turn, own in enumerate(groups.values())]


@dataclass
class Service:
    """The app in this process."""

    token: str
    keys: dict[str, str] = field(default_factory=dict)

    async def answer(self, given: Hostile, *, token: bool) -> tuple[func.HttpResponse, int, int]:
        """Serve a request; return the answer, the calls it took and its evaluation steps."""
        path, _, query = given.target.partition("?")
        authorization = {"authorization": f"Bearer {self.token}"} if token else {}
        request = func.HttpRequest(
            given.method,
            f"http://127.0.0.1{given.target}",
            headers={**authorization, **given.headers},
            params={name: value for name, value in parse_qsl(query) if value},
            body=given.body,
        )
        calls = Counter[str]()

        def count(frame: Any, event: str, argument: Any) -> None:
            calls[event] += 1

        with within(SECONDS):
            budget = steps()
            sys.setprofile(count)
            try:
                response = await dispatch(request, unquote(path).strip("/"))
            finally:
                sys.setprofile(None)
        return response, calls["call"] + calls["c_call"], MAX_STEPS - budget.left


@pytest.fixture(scope="module")
async def served(stack: Stack, token: str) -> AsyncIterator[Service]:
    """The app with the stack's settings, every connection made and every module loaded."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**example_values(), **stack.config.app_settings()}.items():
            patch.setenv(name, value)
        forget()
        yield Service(token)
        await bootstrap.close()
        forget()


@pytest.fixture(scope="module")
async def requests(service: Api, served: Service) -> list[Hostile]:
    """Every hostile request, about a set and a flow that exist."""
    set_id = await service.new_set()
    flow = await service.send("POST", service.flows(set_id), request_body("user"))
    for number in range(30):
        codes = ["teacher", "coach", "aide", "student", "nurse"]
        body = {"displayName": f"a{number}", "roles": [{"code": code} for code in codes]}
        group = await service.post(service.groups, body)
    keys = {"set_id": set_id, "flow_id": flow.json()["id"], "group_id": group.json()["id"]}
    found = hostile({**KEYS, **keys})
    for _, own in itertools.groupby(found, lambda each: each.operation):
        await served.answer(next(own), token=True)
    return found


def test_every_operation_and_place_is_attacked() -> None:
    assert {each.name for each in ROUTES} <= {each.operation for each in REQUESTS}
    assert {each.operation for each in chosen(REQUESTS)} >= {each.name for each in ROUTES}
    places = {each.place.split()[0] for each in REQUESTS}
    assert places == {"header", "headers", "path", "query", "body"}
    assert len(chosen(REQUESTS)) > 120


async def test_without_a_token_no_request_costs_more_than_a_refusal(
    requests: list[Hostile], served: Service, cosmos_requests: CosmosRequests
) -> None:
    protected = {each.name for each in ROUTES if each.needs is not None}
    costly = []
    for each in requests:
        response, calls, evaluated = await served.answer(each, token=False)
        if calls > WITHOUT_TOKEN or evaluated:
            costly.append((each.name, calls, evaluated))
        refused = (400, 401, 414) if each.operation in protected else range(200, 500)
        assert response.status_code in refused, each.name
    assert costly == []


async def test_with_a_token_no_request_costs_more_than_its_budget(
    requests: list[Hostile], served: Service, cosmos_requests: CosmosRequests
) -> None:
    costly = []
    for each in chosen(requests):
        await cosmos_requests.reset()
        response, calls, evaluated = await served.answer(each, token=True)
        asked = len(await cosmos_requests.read())
        answered = len(response.get_body())
        assert response.status_code < 500, each.name
        if (
            calls > WITH_TOKEN
            or evaluated > MAX_STEPS
            or asked > STORE_REQUESTS
            or answered > MAX_ANSWER_BYTES + 64 * 1024
        ):
            costly.append((each.name, calls, evaluated, asked, answered))
    assert costly == []


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_costs_more_than_its_budget(kind: str) -> None:
    calls = Counter[str]()

    def count(frame: Any, event: str, argument: Any) -> None:
        calls[event] += 1

    assert len(EVENTS[kind]) <= EVENT_BYTES
    sys.setprofile(count)
    try:
        with contextlib.suppress(InvalidEvent):
            read_event(EVENTS[kind])
    finally:
        sys.setprofile(None)
    assert calls["call"] + calls["c_call"] <= EVENT_CALLS
