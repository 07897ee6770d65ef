"""A thousand flow sets: Graph's page iterator comes through all, and sorting stops at a limit."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from kiota_abstractions.serialization import Parsable
from msgraph_core.tasks.page_iterator import PageIterator

from shared.odata.cosmos import MAX_SORTED
from tests.api.test_graph_sdk import Client, client, options
from tests.support.api import Api, assert_envelope

__all__ = ["client"]  # the fixture of that module

pytestmark = pytest.mark.filterwarnings(
    "ignore:(This class|GetQueryParameters) is deprecated:DeprecationWarning"
)

SECONDS = 30.0


@dataclass
class SetId(Parsable):
    """A flow set of which only the id is read.

    The generated class imports thousands of others for each entity, which would take a minute.
    """

    id: str = ""

    @staticmethod
    def create_from_discriminator_value(parse_node: Any) -> SetId:
        """Make one for the parser to fill."""
        return SetId()

    def get_field_deserializers(self) -> dict[str, Any]:
        """Say what is read."""
        return {"id": lambda node: setattr(self, "id", node.get_str_value())}

    def serialize(self, writer: Any) -> None:
        """Nothing is ever sent."""


@dataclass
class Page(Parsable):
    """A page of them, as the generated class reads it."""

    value: list[SetId] | None = None
    odata_next_link: str | None = None

    @staticmethod
    def create_from_discriminator_value(parse_node: Any) -> Page:
        """Make one for the parser to fill."""
        return Page()

    def get_field_deserializers(self) -> dict[str, Any]:
        """Say what is read."""

        def link(node: Any) -> None:
            self.odata_next_link = node.get_str_value()

        def value(node: Any) -> None:
            self.value = node.get_collection_of_object_values(SetId)

        return {"@odata.nextLink": link, "value": value}

    def serialize(self, writer: Any) -> None:
        """Nothing is ever sent."""


@dataclass(frozen=True)
class Thousand:
    """A word that finds them, and their ids."""

    word: str
    ids: list[str]

    @property
    def filter(self) -> str:
        """A filter that finds exactly them."""
        return f"startswith(displayName,'{self.word}')"


async def created(service: Api, names: list[str]) -> list[str]:
    """Create sets in one batch; return their ids."""
    requests = [
        {
            "id": str(number),
            "method": "POST",
            "url": "/external/industryData/outboundProvisioningFlowSets",
            "headers": {"Content-Type": "application/json"},
            "body": {"displayName": name},
        }
        for number, name in enumerate(names)
    ]
    answer = await service.post(f"{service.root}/$batch", {"requests": requests})
    return [each["body"]["id"] for each in answer.json()["responses"]]


@pytest.fixture(scope="module")
async def thousand(service: Api) -> Any:
    word = f"thousand {uuid.uuid4().hex}"
    names = [f"{word} {number:04d}" for number in range(MAX_SORTED)]
    ids: list[str] = []
    for start in range(0, MAX_SORTED, 80):
        batches = [names[at : at + 20] for at in range(start, min(start + 80, MAX_SORTED), 20)]
        for made in await asyncio.gather(*(created(service, batch) for batch in batches)):
            ids += made
    yield Thousand(word, ids)
    for start in range(0, len(ids), 20):
        await asyncio.gather(
            *(service.delete(service.set(each)) for each in ids[start : start + 20])
        )


async def test_the_page_iterator_comes_through_a_thousand_sets_ten_at_a_time(
    client: Client, thousand: Thousand
) -> None:
    assert len(thousand.ids) == 1000
    started = time.monotonic()
    found: list[str] = []
    asked = options(client.sets, filter=thousand.filter, top=10)
    request = client.sets.to_get_request_information(asked)
    first = await client.adapter.send_async(request, Page, {})
    assert len(first.value) == 10
    client.sent.clear()

    def note(each: Any) -> bool:
        found.append(each.id)
        return True

    await PageIterator(first, client.adapter).iterate(note)
    assert found == sorted(thousand.ids)
    assert len(client.sent) == 99
    assert time.monotonic() - started < SECONDS


async def test_as_many_sets_are_sorted_by_several_properties_and_no_more(
    service: Api, thousand: Thousand
) -> None:
    asked = {"$filter": thousand.filter, "$orderby": "displayName desc,createdDateTime", "$top": 3}
    answer = await service.get(service.sets, {**asked, "$count": "true"})
    assert answer.status == 200, answer.text
    assert answer.json()["@odata.count"] == MAX_SORTED
    assert [each["id"] for each in answer.json()["value"]] == thousand.ids[:-4:-1]

    one_more = await service.new_set(f"{thousand.word} more")
    refused = await service.get(service.sets, asked)
    await service.delete(service.set(one_more))
    [detail] = assert_envelope(refused, 400, "BadRequest")["details"]
    assert detail["target"] == "$orderby"
    assert str(MAX_SORTED) in detail["message"]
