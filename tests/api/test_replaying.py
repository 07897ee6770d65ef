"""Dead letters over HTTP: how they are listed, read and put back on the queue."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.stack import Stack
from tests.support.api import Answer, Api, Flow, assert_envelope
from tests.support.letters import dead_letter
from tests.support.logs import event_outcomes
from tests.support.queue import Queue

NAME = "2001/01/01/000000-1.json"


def url(service: Api, action: str = "") -> str:
    return f"{service.root.removesuffix('/beta')}/status/dead-letters{action}"


async def keep(queue: Queue, body: bytes, age: timedelta = timedelta()) -> str:
    """Archive a message; return the name of the dead letter."""
    return await queue.archive.keep(dead_letter(body, age))


async def archived(queue: Queue, flow: Flow, **changes: Any) -> tuple[str, str]:
    """Archive a good event as a dead letter, as after an outage; return its name and event id."""
    event_id, message = flow.report("failed", datetime.now(UTC))
    body = json.loads(b"".join(message.body)) | changes
    return await keep(queue, json.dumps(body).encode()), event_id


async def replay(service: Api, *names: str, **body: Any) -> dict[str, Any]:
    answer = await service.post(url(service, "/replay"), {"names": names, **body})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_letter_is_put_back_once(
    service: Api, stack: Stack, queue: Queue, ready_flow: Flow
) -> None:
    name, event_id = await archived(queue, ready_flow)
    assert await replay(service, name, name) == {"replayed": 1, "refused": []}
    assert await event_outcomes(stack, event_id) == ["applied"]
    await ready_flow.until_status("failed")
    [refused] = (await replay(service, name))["refused"]
    assert refused["name"] == name
    assert "`again` sends it once more" in refused["why"]


async def test_again_puts_it_back_and_the_queue_drops_what_it_just_had(
    service: Api, stack: Stack, queue: Queue, ready_flow: Flow
) -> None:
    name, event_id = await archived(queue, ready_flow)
    for _ in range(2):
        assert (await replay(service, name, again=True))["replayed"] == 1
    # Behind them in the queue; when this one was handled, both were.
    fence, fence_id = await archived(queue, ready_flow)
    await replay(service, fence)
    assert await event_outcomes(stack, fence_id) == ["applied"]
    assert await event_outcomes(stack, event_id) == ["applied"]


async def test_what_would_be_refused_again_is_not_put_back(
    service: Api, queue: Queue, ready_flow: Flow
) -> None:
    faulty, _ = await archived(queue, ready_flow, type="another")
    no_json = await keep(queue, b"no event")
    good, _ = await archived(queue, ready_flow)
    found = await replay(service, faulty, no_json, NAME, good)
    assert found["replayed"] == 1
    why = {each["name"]: each["why"] for each in found["refused"]}
    assert "have its sender mend it" in why[faulty]
    assert "have its sender send it" in why[no_json]
    assert "does not exist" in why[NAME]
    # What stays can still be put back later.
    assert not {faulty, no_json} & await queue.archive.replayed()


async def test_a_request_for_a_check_is_put_back_without_what_was_hidden(
    service: Api, stack: Stack, queue: Queue, ready_flow: Flow
) -> None:
    flow = ready_flow
    about_check = {
        "type": "industryData.provisioningFlow.readinessCheckRequested",
        "data": {
            "flowSetId": flow.set_id,
            "flowId": flow.id,
            "kind": flow.kind,
            "revision": 1,
            "fresh": True,
            "configuration": {"creationOptions": "[hidden]"},
        },
    }
    name, event_id = await archived(queue, flow, **about_check)
    assert (await replay(service, name))["replayed"] == 1
    # The flow is checked as it is stored: what was hidden would have made it fail.
    assert await event_outcomes(stack, event_id) == ["unchanged"]


async def test_letters_are_listed_by_day_page_after_page_with_their_state(
    service: Api, queue: Queue
) -> None:
    age = timedelta(days=8000 + secrets.randbelow(900))
    names = sorted([await keep(queue, b"{}", age) for _ in range(52)])
    day = names[0][:10]
    await queue.archive.claim(names[0])
    await queue.archive.discard(names[1], "A test.")

    async def listed(**options: str) -> tuple[list[str], bool]:
        page = (await service.get(url(service), {"day": day, **options})).json()
        found = [each["name"] for each in page["value"] if each["name"] in names]
        return found, page["more"]

    assert await listed() == (names[2:], False)
    assert await listed(all="true") == (names[:50], True)
    assert await listed(all="true", after=names[49]) == (names[50:], False)
    page = (await service.get(url(service), {"day": day, "all": "true"})).json()["value"]
    assert [each["state"] for each in page[:3]] == ["replayed", "discarded", "waiting"]


async def test_one_letter_is_read_by_its_name(service: Api, queue: Queue) -> None:
    name = await keep(queue, b'{"note": "kept"}')
    answer = await service.get(url(service, "/letter"), {"name": name})
    assert answer.json()["body"] == {"note": "kept"}
    await queue.archive.discard(name, "A test.")
    answer = await service.get(url(service, "/letter"), {"name": name})
    assert answer.json()["reason"] == "A test."
    assert_envelope(
        await service.get(url(service, "/letter"), {"name": NAME}), 404, "Request_ResourceNotFound"
    )


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("", {"day": "today"}),
        ("", {"day": "2026/11/24/"}),
        ("", {"after": "../replays/x"}),
        ("", {"all": "yes"}),
        ("", {"what": "1"}),
        ("/letter", {}),
        ("/letter", {"name": "../replays/2026/11/24/091500-17.json"}),
        ("/letter", {"name": NAME + "\n"}),
        ("/letter", {"name": NAME, "day": "2026/11/24"}),
    ],
)
async def test_an_option_that_names_nothing_in_the_archive_is_refused(
    service: Api, path: str, options: dict[str, object]
) -> None:
    assert_envelope(await service.get(url(service, path), options), 400, "BadRequest")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"names": None, "again": True},
        {"names": "all"},
        {"names": ["../replays/x.json"]},
        {"names": [NAME + "\n"]},
        {"names": [7]},
        {"names": [NAME] * 101},
        {"names": [NAME], "again": "yes"},
        {"names": [NAME], "force": True},
    ],
)
async def test_a_body_that_breaks_the_contract_is_refused(service: Api, body: Any) -> None:
    answer: Answer = await service.post(url(service, "/replay"), body)
    assert_envelope(answer, 400, "BadRequest")
