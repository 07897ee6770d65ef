"""Dead letters over HTTP: those that wait, and how they are discarded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.api import Answer, Api, assert_envelope
from tests.support.letters import dead_letter
from tests.support.queue import Queue

NAME = "2001/01/01/000000-1.json"


def url(service: Api, action: str = "") -> str:
    return f"{service.root.removesuffix('/beta')}/status/dead-letters{action}"


async def discard(service: Api, **body: Any) -> Answer:
    return await service.post(url(service, "/discard"), body)


async def archived(queue: Queue, body: bytes = b"{}") -> str:
    """Archive a message; return the name of the dead letter."""
    # Older than what other tests left, so that it is among the first.
    return await queue.archive.keep(dead_letter(body, timedelta(days=9000)))


async def waiting(service: Api) -> dict[str, dict[str, Any]]:
    """The dead letters that wait, by name."""
    answer = await service.get(url(service))
    assert answer.status == 200, answer.text
    return {letter["name"]: letter for letter in answer.json()["value"]}


async def test_a_letter_that_waits_is_listed_with_its_fault_and_without_its_body(
    service: Api, queue: Queue
) -> None:
    name = await archived(queue, b'{"type": "t", "note": "not for lists"}')
    letter = (await waiting(service))[name]
    assert set(letter) == {"name", "messageId", "type", "reason", "fault", "state"}
    assert (letter["type"], letter["state"]) == ("t", "waiting")
    assert letter["fault"].startswith("The message is not a readiness event")


async def test_letters_are_discarded_by_name_once_and_wait_no_more(
    service: Api, queue: Queue
) -> None:
    names = [await archived(queue) for _ in range(2)]
    answer = await discard(service, names=[*names, NAME], reason=" Sent by mistake. ")
    assert answer.status == 200, answer.text
    found = answer.json()
    assert (found["discarded"], found["more"]) == (2, False)
    assert [each["name"] for each in found["refused"]] == [NAME]
    assert not set(names) & set(await waiting(service))
    for name in names:
        note = await queue.archive.discard_of(name)
        assert note is not None
        assert note["reason"] == "Sent by mistake."
        assert (await queue.archive.read(name))["body"] == {}
    again = (await discard(service, names=names[:1], reason="Again.")).json()
    assert [each["why"] for each in again["refused"]] == ["It was discarded before."]


async def test_one_that_was_put_back_is_not_discarded(service: Api, queue: Queue) -> None:
    name = await archived(queue)
    await queue.archive.claim(name)
    assert name not in await waiting(service)
    answer = (await discard(service, names=[name], reason="Late.")).json()
    assert answer["refused"] == [{"name": name, "why": "It was put back before."}]


async def test_all_that_wait_are_discarded(service: Api, queue: Queue) -> None:
    names = {await archived(queue) for _ in range(60)}
    listed = (await service.get(url(service))).json()
    assert (len(listed["value"]), listed["more"]) == (50, True)
    answer = (await discard(service, all=True, reason="A test.")).json()
    assert answer["discarded"] >= 60
    assert answer["refused"] == []
    assert not names & set(await waiting(service))
    assert names <= await queue.archive.discarded()


WRONG: dict[str, Any] = {
    "no object": [],
    "nothing": {"reason": "x"},
    "both": {"names": [NAME], "all": True, "reason": "x"},
    "not all": {"all": False, "reason": "x"},
    "not all, but some": {"all": False, "names": [NAME], "reason": "x"},
    "no reason": {"all": True},
    "an empty reason": {"all": True, "reason": " "},
    "a long reason": {"all": True, "reason": "x" * 1025},
    "a number for a reason": {"all": True, "reason": 1},
    "a reason that cannot be shown": {"all": True, "reason": "a\u202eb"},
    "no names": {"names": [], "reason": "x"},
    "null for names": {"names": None, "reason": "x"},
    "too many names": {"names": [NAME] * 101, "reason": "x"},
    "a name outside the archive": {"names": ["../replays/x.json"], "reason": "x"},
    "a name with something behind it": {"names": [NAME + "\n"], "reason": "x"},
    "an object for a name": {"names": [{}], "reason": "x"},
    "an unknown member": {"all": True, "reason": "x", "force": True},
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_request_that_breaks_the_contract_is_refused_and_nothing_is_discarded(
    service: Api, queue: Queue, case: str
) -> None:
    name = await archived(queue)
    answer = await service.post(url(service, "/discard"), WRONG[case])
    assert_envelope(answer, 400, "BadRequest")
    assert await queue.archive.discard_of(name) is None
    await queue.archive.discard(name, "It was a test.")


async def test_a_member_that_comes_twice_is_refused(service: Api) -> None:
    answer = await service.send(
        "POST", url(service, "/discard"), b'{"all": true, "reason": "a", "reason": "b"}'
    )
    assert_envelope(answer, 400, "BadRequest")
