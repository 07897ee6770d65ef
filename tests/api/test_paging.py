"""Following pages of flow sets to the end, whatever happens to the sets meanwhile."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import pytest

from tests.support.api import ONE_QUERY, Api, Counted, Flow, assert_envelope


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


# --- cost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "queries"),
    [
        ({"$expand": "provisioningFlows"}, 1),
        ({"$filter": "contains(displayName,'a')", "$orderby": "displayName", "$top": 5}, 1),
        ({"$count": "true"}, 2),
    ],
    ids=json.dumps,
)
async def test_a_page_of_sets_is_one_query_and_its_count_another(
    service: Api, counted: Counted, options: dict[str, object], queries: int
) -> None:
    assert (await service.create(counted.set_id, "user")).status == 201
    await until_settled(service, counted)
    asked: list[list[str]] = []
    for _ in range(5):
        await counted.requests.reset()
        assert (await service.get(service.sets, options)).status == 200
        log = await counted.requests.read()
        asked.append([each["operation"] for each in log if "/flowSets/" in each["path"]])
    # The fewest count: the timer and the events of other tests bring queries of their own.
    fewest = min(asked, key=len)
    assert sorted(fewest) == sorted(ONE_QUERY * queries)


async def test_a_set_with_its_flows_is_one_read(service: Api, counted: Counted) -> None:
    assert (await service.create(counted.set_id, "user")).status == 201
    await until_settled(service, counted)
    url = service.set(counted.set_id)
    assert (await service.get(url, {"$expand": "provisioningFlows"})).status == 200
    assert await counted.read() == ["GET"]


async def until_settled(service: Api, counted: Counted) -> None:
    """Wait until the flows of a set are ready, and count anew."""
    for flow in (await service.get(service.flows(counted.set_id))).json()["value"]:
        await Flow(service, counted.set_id, flow["id"], "").until_status("ready")
    await counted.requests.reset()
