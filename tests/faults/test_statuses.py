"""Statuses on request: what a client gets is what Graph sends, and the state behind it is real."""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp
import pytest

from local.faults.answers import _ERRORS
from local.faults.reading import STATUSES
from local.stack import Stack
from tests.faults.conftest import Faults
from tests.support.api import GUID, UNKNOWN, Api
from tests.support.hosts import host

COMMON = {"code", "message", "innerError"}
INNER = {"date", "request-id", "client-request-id"}


def test_every_status_that_can_be_asked_for_has_an_answer() -> None:
    assert tuple(_ERRORS) == STATUSES


@pytest.mark.parametrize("status", STATUSES)
async def test_an_error_has_graphs_envelope_and_ids(
    faults: Faults, service: Api, set_id: str, status: int
) -> None:
    real = await service.get(service.set(UNKNOWN))
    assert real.status == 404
    await faults.use({"status": status})
    answer = await service.get(service.set(set_id), client_request_id="abc")
    assert set(answer.headers) >= set(real.headers)
    error = answer.json()["error"]
    assert answer.status == status
    assert set(error) == COMMON
    assert set(error["innerError"]) >= INNER
    assert answer.headers["Content-Type"] == "application/json"
    assert GUID.fullmatch(answer.headers["request-id"])
    assert error["innerError"]["request-id"] == answer.headers["request-id"]
    assert error["innerError"]["client-request-id"] == "abc"
    assert answer.headers["client-request-id"] == "abc"


async def test_throttling_has_its_documented_members(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 429, "retryAfter": 17})
    answer = await service.get(service.set(set_id))
    error = answer.json()["error"]
    assert answer.headers["Retry-After"] == "17"
    assert error["code"] == "TooManyRequests"
    assert error["message"] == "Please retry again later."
    assert error["innerError"]["code"] == error["innerError"]["status"] == "429"
    assert error["innerError"]["message"] == "Please retry after"


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [
        (401, "InvalidAuthenticationToken", None),
        (412, "PreconditionFailed", None),
        (429, "TooManyRequests", "1"),
        (500, "InternalServerError", None),
        (502, "UnknownError", None),
        (503, "serviceNotAvailable", "1"),
        (504, "UnknownError", None),
    ],
)
async def test_each_status_has_graphs_code(
    faults: Faults, service: Api, set_id: str, status: int, code: str, retry_after: str | None
) -> None:
    await faults.use({"status": status})
    answer = await service.get(service.set(set_id))
    assert answer.json()["error"]["code"] == code
    assert answer.headers.get("Retry-After") == retry_after


async def test_an_expired_token_looks_as_a_real_one(
    faults: Faults, service: Api, set_id: str, api: str
) -> None:
    async with aiohttp.ClientSession() as anyone, anyone.get(service.sets) as real:
        challenge = real.headers["WWW-Authenticate"]
    await faults.use({"status": 401})
    answer = await service.get(service.set(set_id))
    assert answer.headers["WWW-Authenticate"] == challenge


async def test_a_request_that_fails_before_it_is_carried_out_stores_nothing(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 503, "operation": "create_provisioning_flow"})
    answer = await service.create(set_id)
    await faults.clear()
    assert answer.status == 503
    flows = await service.get(f"{service.set(set_id)}/provisioningFlows")
    assert flows.json()["value"] == []


async def test_a_gateway_that_gives_up_hides_what_was_stored(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 504, "when": "after", "operation": "create_provisioning_flow"})
    answer = await service.create(set_id)
    [asked] = await faults.requests()
    await faults.clear()
    assert (answer.status, asked["status"], asked["carriedOut"]) == (504, 504, True)
    flows = await service.get(f"{service.set(set_id)}/provisioningFlows")
    assert len(flows.json()["value"]) == 1


async def test_a_delayed_request_is_carried_out_later(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"delay": 0.3})
    began = time.monotonic()
    answer = await service.get(service.set(set_id))
    assert answer.status == 200
    assert time.monotonic() - began >= 0.3


async def test_one_request_asks_for_its_own_fault(
    faults: Faults, service: Api, set_id: str
) -> None:
    url = service.set(set_id)
    answers = [await service.get(url, local_fault="429; retryAfter=3; id=x") for _ in range(2)]
    assert [answer.status for answer in answers] == [429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert (await service.get(url)).status == 200


async def test_a_header_that_cannot_be_is_refused_with_what_is_wrong(
    faults: Faults, service: Api, set_id: str
) -> None:
    answer = await service.get(service.set(set_id), local_fault="418")
    assert answer.status == 400
    assert "Local-Fault cannot be used. status: Must be one of" in answer.text


async def test_keys_in_parentheses_name_the_same_operation(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 503, "operation": "get_flow_set"})
    assert (await service.get(f"{service.sets}('{set_id}')")).status == 503
    assert (await service.get(f"{service.sets}/{set_id}")).status == 503


async def test_pages_and_health_never_fail(faults: Faults, service: Api) -> None:
    await faults.use({"status": 500})
    site = service.root.removesuffix("/beta")
    for page in ("docs", "status", "openapi.json", "health"):
        assert (await service.get(f"{site}/{page}", local_fault="500")).status == 200


async def test_a_page_of_an_allowed_origin_can_read_the_fault(stack: Stack, tmp_path: Path) -> None:
    async with host(stack, tmp_path, CORS_ORIGINS="https://app.example") as (service, _):
        answer = await service.get(service.sets, local_fault="429", origin="https://app.example")
    assert answer.status == 429
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
