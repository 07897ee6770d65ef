"""Reference definitions: which types take them, what is unique and what is fixed; built-in ones."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from shared.domain.catalog import EXTENSIBLE_TYPES
from tests.support.api import DATE_TIME, Answer, Api, assert_envelope, sort_index


def definition(**members: Any) -> dict[str, Any]:
    """A definition with a code and a place of its own."""
    return {
        "referenceType": "RefEthnicity",
        "displayName": "Example",
        "code": letters(),
        "isDisabled": False,
        "sortIndex": sort_index(),
        **members,
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


def assert_one_won(answers: list[Answer], taken: str) -> None:
    """One was created, all others were refused because a value is taken, which they name."""
    assert sorted(answer.status for answer in answers) == [201] + [409] * (len(answers) - 1)
    for answer in answers:
        if answer.status != 201:
            assert taken in assert_envelope(answer, 409, "Conflict")["message"].lower()


async def test_of_twenty_concurrent_creates_whose_codes_differ_in_case_alone_one_wins(
    service: Api,
) -> None:
    word = letters()
    answers = await asyncio.gather(
        *(service.post(service.definitions, definition(code=code)) for code in casings(word, 20))
    )
    assert_one_won(list(answers), word)
    options = {"$filter": f"tolower(code) eq '{word}'"}
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


async def test_of_twenty_concurrent_creates_in_one_place_one_wins(service: Api) -> None:
    index = sort_index()
    answers = await asyncio.gather(
        *(service.post(service.definitions, definition(sortIndex=index)) for _ in range(20))
    )
    assert_one_won(list(answers), str(index))


async def test_of_ten_concurrent_moves_to_one_place_one_wins(service: Api) -> None:
    made = [await service.post(service.definitions, definition()) for _ in range(10)]
    index = sort_index()
    answers = await asyncio.gather(
        *(service.patch(answer.headers["Location"], {"sortIndex": index}) for answer in made)
    )
    assert sorted(answer.status for answer in answers) == [204] + [409] * 9
    options = {"$filter": f"sortIndex eq {index}"}
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


@pytest.mark.parametrize("reference_type", EXTENSIBLE_TYPES)
async def test_each_extensible_type_takes_definitions(service: Api, reference_type: str) -> None:
    body = definition(referenceType=reference_type)
    created = await service.post(service.definitions, body)
    assert created.status == 201, created.text
    printed = created.json()
    assert printed["id"] == f"{reference_type}-{body['code']}"
    assert printed["source"] == "Tenant Defined"
    assert DATE_TIME.fullmatch(printed["createdDateTime"])
    assert {name: printed[name] for name in body} == body
    read = (await service.get(created.headers["Location"])).json()
    assert read == {name: value for name, value in printed.items() if name != "@odata.type"}


@pytest.mark.parametrize("reference_type", ["RefRole", "RefIdentifierType", "refrace", "Ref", ""])
async def test_no_other_type_takes_definitions(service: Api, reference_type: str) -> None:
    answer = await service.post(service.definitions, definition(referenceType=reference_type))
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$.referenceType"


async def test_a_code_differs_by_more_than_case_and_a_place_may_be_used_in_another_type(
    service: Api,
) -> None:
    body = definition()
    assert (await service.post(service.definitions, body)).status == 201
    upper = definition(code=body["code"].upper())
    assert_envelope(await service.post(service.definitions, upper), 409, "Conflict")
    other = {**body, "referenceType": "RefOrgType"}
    assert (await service.post(service.definitions, other)).status == 201


async def test_a_deleted_definition_is_disabled_and_keeps_its_code_and_place(service: Api) -> None:
    body = definition()
    url = (await service.post(service.definitions, body)).headers["Location"]
    before = (await service.get(url)).json()
    answer = await service.delete(url)
    assert (answer.status, answer.text) == (204, "")
    after = (await service.get(url)).json()
    assert after == {
        **before,
        "isDisabled": True,
        "lastModifiedDateTime": after["lastModifiedDateTime"],
    }
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    assert_envelope(await service.post(service.definitions, body), 409, "Conflict")
    assert (await service.patch(url, {"isDisabled": False})).status == 204
    assert (await service.get(url)).json()["isDisabled"] is False


@pytest.mark.parametrize("member", ["referenceType", "code", "isDisabled", "sortIndex"])
async def test_a_definition_is_not_made_without(service: Api, member: str) -> None:
    body = definition()
    del body[member]
    error = assert_envelope(await service.post(service.definitions, body), 400, "BadRequest")
    assert [(each["code"], each["target"]) for each in error["details"]] == [
        ("MissingProperty", f"$.{member}")
    ]


@pytest.mark.parametrize("index", [-(2**31), 2**31 - 1])
async def test_a_place_in_the_list_has_32_bits(service: Api, index: int) -> None:
    beyond = index + (1 if index > 0 else -1)
    answer = await service.post(service.definitions, definition(sortIndex=beyond))
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$.sortIndex"
    made = await service.post(service.definitions, definition(sortIndex=index))
    assert (made.status, made.json()["sortIndex"]) == (201, index)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"code": "other"}, "$.code"),
        ({"referenceType": "RefRace"}, "$.referenceType"),
        ({"sortIndex": None}, "$.sortIndex"),
        ({"sortIndex": 1.5}, "$.sortIndex"),
        ({"isDisabled": None}, "$.isDisabled"),
        ({"surprise": 1}, "$.surprise"),
    ],
)
async def test_what_is_fixed_in_a_definition_stays(
    service: Api, body: dict[str, Any], target: str
) -> None:
    url = (await service.post(service.definitions, definition())).headers["Location"]
    before = (await service.get(url)).text
    error = assert_envelope(await service.patch(url, body), 400, "BadRequest")
    assert error["details"][0]["target"] == target
    assert (await service.get(url)).text == before


async def test_a_moved_definition_takes_no_place_of_another(service: Api) -> None:
    first, second = [await service.post(service.definitions, definition()) for _ in range(2)]
    taken = first.json()["sortIndex"]
    answer = await service.patch(second.headers["Location"], {"sortIndex": taken})
    assert str(taken) in assert_envelope(answer, 409, "Conflict")["message"]
    answer = await service.patch(second.headers["Location"], {"displayName": None})
    assert answer.status == 204
    assert (await service.get(second.headers["Location"])).json()["displayName"] is None


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
    body = definition(referenceType="RefOrgType", **place)
    assert_envelope(await service.post(service.definitions, body), 409, "Conflict")


async def test_the_place_that_a_built_in_definition_left_is_free(service: Api) -> None:
    url = f"{service.definitions}/RefOrgType-division"
    place = (await service.get(url)).json()["sortIndex"]
    assert (await service.patch(url, {"sortIndex": sort_index()})).status == 204
    body = definition(referenceType="RefOrgType", sortIndex=place)
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
