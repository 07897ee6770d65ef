"""Reference definitions under concurrency, and those that are built in."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.support.api import Answer, Api, assert_envelope, sort_index


def definition(code: str, index: int, reference_type: str = "RefPersonFlagType") -> dict[str, Any]:
    """A definition of the tenant's own."""
    return {
        "referenceType": reference_type,
        "displayName": "Example",
        "code": code,
        "isDisabled": False,
        "sortIndex": index,
    }


def casings(word: str, count: int) -> list[str]:
    """As many spellings of one word of letters that differ in case alone."""
    return [
        "".join(
            letter.upper() if number >> place & 1 else letter for place, letter in enumerate(word)
        )
        for number in range(count)
    ]


def letters() -> str:
    """A word that no other test uses."""
    return "".join(chr(ord("a") + int(digit, 16)) for digit in uuid.uuid4().hex[:12])


def assert_one_won(answers: list[Answer]) -> None:
    """One was created, all others were refused because the value is taken."""
    assert sorted(answer.status for answer in answers) == [201] + [409] * (len(answers) - 1)
    for answer in answers:
        if answer.status != 201:
            assert_envelope(answer, 409, "Conflict")


async def test_of_twenty_concurrent_creates_whose_codes_differ_in_case_alone_one_wins(
    service: Api,
) -> None:
    word = letters()
    answers = await asyncio.gather(
        *(
            service.post(service.definitions, definition(code, sort_index()))
            for code in casings(word, 20)
        )
    )
    assert_one_won(list(answers))
    options = {"$filter": f"tolower(code) eq '{word}'"}
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


async def test_of_twenty_concurrent_creates_in_one_place_one_wins(service: Api) -> None:
    index = sort_index()
    answers = await asyncio.gather(
        *(service.post(service.definitions, definition(letters(), index)) for _ in range(20))
    )
    assert_one_won(list(answers))


async def test_of_ten_concurrent_moves_to_one_place_one_wins(service: Api) -> None:
    made = [
        await service.post(service.definitions, definition(letters(), sort_index()))
        for _ in range(10)
    ]
    index = sort_index()
    answers = await asyncio.gather(
        *(service.patch(answer.headers["Location"], {"sortIndex": index}) for answer in made)
    )
    assert sorted(answer.status for answer in answers) == [204] + [409] * 9
    options = {"$filter": f"sortIndex eq {index}"}
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


# --- built-in definitions ----------------------------------------------------------------------


async def test_concurrent_updates_of_a_built_in_definition_all_count(service: Api) -> None:
    url = f"{service.definitions}/RefOrgType-campus"
    before = (await service.get(url)).json()
    index = sort_index()
    answers = await asyncio.gather(
        service.patch(url, {"displayName": "Site"}),
        service.patch(url, {"sortIndex": index}),
        service.patch(url, {"isDisabled": True}),
    )
    assert [answer.status for answer in answers] == [204] * 3
    after = (await service.get(url)).json()
    assert after == {
        **before,
        "displayName": "Site",
        "isDisabled": True,
        "sortIndex": index,
        "lastModifiedDateTime": after["lastModifiedDateTime"],
    }
    assert after["createdDateTime"] == "0001-01-01T00:00:00Z"
    assert after["lastModifiedDateTime"] > "2020"


async def test_a_changed_built_in_definition_is_listed_once_and_as_it_is(service: Api) -> None:
    url = f"{service.definitions}/RefOrgType-region"
    assert (await service.patch(url, {"displayName": "Landkreis"})).status == 204
    options = {"$filter": "id eq 'RefOrgType-region'"}
    listed = (await service.get(service.definitions, options)).json()["value"]
    assert [each["displayName"] for each in listed] == ["Landkreis"]
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


@pytest.mark.parametrize("place", [{"code": "SCHOOL"}, {"sortIndex": 10}])
async def test_a_code_or_place_of_a_built_in_definition_is_taken(
    service: Api, place: dict[str, Any]
) -> None:
    body = {**definition(letters(), sort_index(), "RefOrgType"), **place}
    assert_envelope(await service.post(service.definitions, body), 409, "Conflict")


async def test_the_place_that_a_built_in_definition_left_is_free(service: Api) -> None:
    url = f"{service.definitions}/RefOrgType-division"
    place = (await service.get(url)).json()["sortIndex"]
    assert (await service.patch(url, {"sortIndex": sort_index()})).status == 204
    body = definition(letters(), place, "RefOrgType")
    assert (await service.post(service.definitions, body)).status == 201


async def test_a_deleted_built_in_definition_is_disabled_and_can_be_enabled(service: Api) -> None:
    url = f"{service.definitions}/RefOrgType-province"
    assert (await service.delete(url)).status == 204
    assert (await service.get(url)).json()["isDisabled"] is True
    assert (await service.patch(url, {"isDisabled": False})).status == 204
    assert (await service.get(url)).json()["isDisabled"] is False


@pytest.mark.parametrize("key", ["RefRole-unknown", "RefRole", "reforgtype-school", "a-b'c", "-"])
async def test_an_unknown_definition_is_not_found(service: Api, key: str) -> None:
    url = f"{service.definitions}/{key}"
    for answer in (
        await service.get(url),
        await service.patch(url, {"displayName": "x"}),
        await service.delete(url),
    ):
        assert key in assert_envelope(answer, 404, "Request_ResourceNotFound")["message"]
