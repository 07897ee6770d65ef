"""Following pages to the end, whatever happens to what is on them meanwhile."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.api.conftest import Stored
from tests.support.api import Api, assert_envelope


async def new_sets(service: Api, word: str, count: int) -> list[str]:
    """Create sets named by number, twenty requests at a time; return their ids in that order."""
    ids: list[str] = []
    for start in range(0, count, 20):
        requests = [
            {
                "id": str(number),
                "method": "POST",
                "url": "/external/industryData/outboundProvisioningFlowSets",
                "headers": {"Content-Type": "application/json"},
                "body": {"displayName": f"{word} {number:03}"},
            }
            for number in range(start, min(start + 20, count))
        ]
        answer = await service.post(f"{service.root}/$batch", {"requests": requests})
        made = {each["id"]: each["body"]["id"] for each in answer.json()["responses"]}
        ids += [made[request["id"]] for request in requests]
    return ids


@pytest.fixture
def word() -> str:
    """The start of names that only one test gives."""
    return f"paging {uuid.uuid4()}"


Between = Callable[[list[str]], Awaitable[object]]


async def pages(
    service: Api, options: dict[str, object], size: int | None, between: Between | None = None
) -> list[Any]:
    """All pages of flow sets; `between` gets the ids of each page but the last."""
    preference = {} if size is None else {"prefer": f"odata.maxpagesize={size}"}
    answer = await service.get(service.sets, options, **preference)
    found = []
    while True:
        assert answer.status == 200, answer.text
        page = answer.json()
        found.append(page)
        link = page.get("@odata.nextLink")
        if link is None:
            return found
        if between is not None:
            await between([each["id"] for each in page["value"]])
        answer = await service.get(link)


def ids_of(found: list[Any]) -> list[str]:
    """The ids on all pages."""
    return [each["id"] for page in found for each in page["value"]]


def mine(word: str, **others: object) -> dict[str, object]:
    """Options that find one test's sets in the order of their names."""
    return {
        "$filter": f"startswith(displayName,'{word}')",
        "$orderby": "displayName",
        **others,
    }


async def test_a_page_has_a_hundred_sets_unless_fewer_are_preferred(
    service: Api, word: str
) -> None:
    ids = await new_sets(service, word, 101)
    assert [len(page["value"]) for page in await pages(service, mine(word), None)] == [100, 1]
    for size, expected in ((1000, [100, 1]), (40, [40, 40, 21])):
        found = await pages(service, mine(word), size)
        assert [len(page["value"]) for page in found] == expected
        assert ids_of(found) == ids


async def test_a_full_last_page_has_no_link(service: Api, word: str) -> None:
    await new_sets(service, word, 6)
    assert [len(page["value"]) for page in await pages(service, mine(word), 3)] == [3, 3]


@pytest.mark.parametrize("direction", ["", " desc"])
async def test_pages_go_on_behind_sets_that_are_deleted(
    service: Api, word: str, direction: str
) -> None:
    ids = await new_sets(service, word, 8)
    if direction:
        ids.reverse()

    async def delete_all(served: list[str]) -> None:
        # The one that the link points behind, too.
        for each in served:
            assert (await service.delete(service.set(each))).status == 204

    options = mine(word)
    options["$orderby"] = f"displayName{direction}"
    assert ids_of(await pages(service, options, 3, delete_all)) == ids


async def test_a_set_that_is_deleted_before_its_page_is_not_on_it(service: Api, word: str) -> None:
    ids = await new_sets(service, word, 6)

    async def delete_the_next(served: list[str]) -> None:
        following = ids.index(served[-1]) + 1
        assert (await service.delete(service.set(ids[following]))).status == 204

    assert ids_of(await pages(service, mine(word), 2, delete_the_next)) == [
        ids[place] for place in (0, 1, 3, 4)
    ]


async def test_all_sets_are_found_once_while_others_come_and_go(service: Api, word: str) -> None:
    ids = await new_sets(service, word, 5)
    passing: list[str] = []

    async def come_and_go(_: list[str]) -> None:
        passing.append(await service.new_set(f"{word} passing"))
        if len(passing) > 1:
            assert (await service.delete(service.set(passing[-2]))).status == 204

    found = ids_of(await pages(service, {}, 37, come_and_go))
    assert len(found) == len(set(found))
    assert set(ids) <= set(found)
    assert found == sorted(found)


async def test_every_page_has_the_count_of_all(service: Api, word: str) -> None:
    await new_sets(service, word, 5)
    found = await pages(service, mine(word, **{"$count": "true"}), 2)
    assert [page["@odata.count"] for page in found] == [5, 5, 5]


async def test_options_stay_in_the_link_as_they_were_written(service: Api, word: str) -> None:
    await new_sets(service, word, 3)
    options = {"FILTER": mine(word)["$filter"], "select": "id", "$top": 3}
    first, second = await pages(service, options, 2)
    link = first["@odata.nextLink"]
    assert link.startswith(f"{service.sets}?")
    given = [pair.partition("=") for pair in link.partition("?")[2].split("&")]
    assert {name: unquote(value) for name, _, value in given[:-1]} == {
        name: str(value) for name, value in options.items()
    }
    assert given[-1][0] == "$skiptoken"
    assert [list(each) for each in second["value"]] == [["id"]]
    assert second["@odata.context"] == first["@odata.context"]


async def test_pages_are_expanded_too(service: Api, word: str) -> None:
    ids = await new_sets(service, word, 3)
    created = await service.create(ids[2])
    found = await pages(service, mine(word, **{"$expand": "provisioningFlows"}), 2)
    [last] = found[1]["value"]
    assert [flow["id"] for flow in last["provisioningFlows"]] == [created.json()["id"]]
    assert [each["provisioningFlows"] for each in found[0]["value"]] == [[], []]


async def test_a_filter_that_leaves_no_room_for_the_link_is_refused(
    service: Api, word: str
) -> None:
    await new_sets(service, "\U0001f600" * 251, 2)

    def asked(characters: int) -> dict[str, object]:
        return {
            "$filter": f"startswith(displayName,'\U0001f600') and id ne '{'x' * characters}'",
            "$orderby": "displayName",
            "$top": 1,
        }

    assert (await service.get(service.sets, asked(1900))).status == 200
    answer = await service.get(service.sets, asked(1900) | {"$select": "id," * 300 + "id"})
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$filter"


# --- pages of every collection, and the tokens that lead to them --------------------------------


async def follow(service: Api, answer: Any, between: Any = None) -> list[list[str]]:
    """All pages from one on, by their links; `between` happens before each next one."""
    pages = [[entity["id"] for entity in answer["value"]]]
    while "@odata.nextLink" in answer:
        if between is not None:
            await between()
        following = await service.get(answer["@odata.nextLink"])
        assert following.status == 200, following.text
        answer = following.json()
        pages.append([entity["id"] for entity in answer["value"]])
    return pages


@pytest.mark.parametrize(
    "order",
    [
        *("displayName", "displayName desc", "createdDateTime desc", "id"),
        "displayName desc,createdDateTime",
    ],
)
async def test_pages_stay_put_while_sets_are_added(
    service: Api, stored: Stored, order: str
) -> None:
    added: list[str] = []

    async def add() -> None:
        for number in ("No -", "No 35", "No 9"):
            added.append(await service.new_set(f"{stored.word} {number}"))

    options = {"$filter": f"startswith(displayName,'{stored.word}')", "$orderby": order}
    first = await service.get(service.sets, options, Prefer="odata.maxpagesize=2")
    assert first.headers["Preference-Applied"] == "odata.maxpagesize=2"
    before = (await service.get(service.sets, options)).json()["value"]
    pages = await follow(service, first.json(), add)
    for each in added:
        assert (await service.delete(service.set(each))).status == 204
    served = [each for page in pages for each in page]
    assert all(len(page) == 2 for page in pages[:-1])
    assert len(set(served)) == len(served)
    assert [each for each in served if each not in added] == [each["id"] for each in before]


@pytest.mark.parametrize("top", [1, 2, 3, 6, 7, 9])
async def test_top_is_the_size_of_a_page(service: Api, stored: Stored, top: int) -> None:
    options = {"$search": f'"{stored.word} No"', "$orderby": "displayName", "$top": top}
    first = (await service.get(service.sets, options | {"$count": "true"})).json()
    assert first["@odata.count"] == 7
    pages = await follow(service, first)
    assert pages == [stored.sets[start : start + top] for start in range(0, 7, top)]


async def test_skip_counts_once(service: Api, stored: Stored) -> None:
    options = {"$search": f'"{stored.word} No"', "$orderby": "displayName", "$skip": 3}
    first = await service.get(service.sets, options, Prefer="maxpagesize=2")
    assert await follow(service, first.json()) == [stored.sets[3:5], stored.sets[5:7]]


@pytest.mark.parametrize("name", ["flows", "groups", "definitions"])
async def test_other_collections_have_pages_too(service: Api, stored: Stored, name: str) -> None:
    url = stored.url(service, name)
    first = await service.get(url, {"$top": 4}, Prefer="odata.maxpagesize=3")
    pages = await follow(service, first.json())
    whole = [
        each for page in await follow(service, (await service.get(url)).json()) for each in page
    ]
    assert [each for page in pages for each in page] == whole
    assert {len(page) for page in pages[:-1]} <= {3}


async def next_link(service: Api, stored: Stored, name: str = "sets") -> str:
    """The link behind a first page of two."""
    url = stored.url(service, name)
    first = await service.get(url, {"$orderby": "id"}, Prefer="maxpagesize=2")
    link: str = first.json()["@odata.nextLink"]
    return link


async def test_a_tampered_token_is_refused(service: Api, stored: Stored) -> None:
    link = await next_link(service, stored)
    [token] = parse_qs(urlsplit(link).query)["$skiptoken"]
    for at in (0, 5, 20, len(token) // 2, len(token) - 2):
        other = "A" if token[at] != "A" else "B"
        answer = await service.get(link.replace(token, token[:at] + other + token[at + 1 :]))
        error = assert_envelope(answer, 400, "BadRequest")
        assert error["details"][0]["code"] == "InvalidToken"
    assert (await service.get(link)).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("$orderby=id", "$orderby=displayName"),
        ("$orderby=id", "$orderby=id%20desc"),
        ("$orderby=id", "$orderby=id&$filter=id%20ne%20null"),
        ("$orderby=id", "$orderby=id&$skip=5"),
        ("outboundProvisioningFlowSets", "roleGroups"),
        ("outboundProvisioningFlowSets", "referenceDefinitions"),
    ],
)
async def test_a_token_counts_for_its_own_request_only(
    service: Api, stored: Stored, old: str, new: str
) -> None:
    link = await next_link(service, stored)
    assert old in link
    error = assert_envelope(await service.get(link.replace(old, new)), 400, "BadRequest")
    assert error["details"][0]["code"] == "InvalidToken"


async def test_a_token_of_one_sets_flows_is_refused_for_anothers(
    service: Api, stored: Stored
) -> None:
    link = await next_link(service, stored, "flows")
    answer = await service.get(link.replace(stored.full_set, stored.sets[1]))
    assert_envelope(answer, 400, "BadRequest")


async def test_select_may_change_between_pages(service: Api, stored: Stored) -> None:
    link = await next_link(service, stored)
    answer = await service.get(f"{link}&$select=id")
    assert json.dumps([list(entity) for entity in answer.json()["value"]]) == '[["id"], ["id"]]'
