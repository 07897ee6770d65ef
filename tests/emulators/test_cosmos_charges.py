"""Charges grow with the size and the number of what a request reads and writes, as in Azure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy

from tests.emulators.cosmos_process import ask, running

INDEXED: Any = {
    "includedPaths": [{"path": "/n/?"}],
    "excludedPaths": [{"path": "/*"}],
}


@pytest.fixture(scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ContainerProxy]:
    async with running(tmp_path_factory.mktemp("charges")) as (_, client):
        database = await client.create_database("d")
        yield await database.create_container("c", PartitionKey("/id"), indexing_policy=INDEXED)


def charge_in(headers: Mapping[str, str]) -> float:
    return float(headers["x-ms-request-charge"])


def charge(answer: Any) -> float:
    return charge_in(answer.get_response_headers())


@pytest.mark.parametrize(("kb", "read", "insert"), [(0.7, 1, 5), (99.7, 10, 50)])
async def test_what_azure_publishes_is_charged(
    box: ContainerProxy, kb: float, read: float, insert: float
) -> None:
    item = {"id": f"{kb}", "x": "x" * int(kb * 1024)}
    operations = [{"op": "set", "path": "/n", "value": 1}]
    created = await box.create_item(item, no_response=True)
    assert charge(created) == pytest.approx(insert, rel=0.01)
    assert charge(await box.read_item(item["id"], item["id"])) == pytest.approx(read, rel=0.01)
    for replacing in (
        await box.replace_item(item["id"], item),
        await box.patch_item(item["id"], item["id"], operations),
    ):
        assert charge(replacing) == pytest.approx(2 * insert, rel=0.01)
    await box.delete_item(item["id"], item["id"])


async def test_a_page_is_charged_for_its_bytes(box: ContainerProxy) -> None:
    characters = 100 * 1024
    charges = []
    for id_, letter in (("ascii", "e"), ("other", "\u00e9")):
        await box.create_item({"id": id_, "text": letter * characters})
        rows = box.query_items(
            "SELECT VALUE c.text FROM c WHERE c.id = @id",
            parameters=[{"name": "@id", "value": id_}],
            partition_key=id_,
            response_hook=lambda headers, _: charges.append(charge_in(headers)),
        )
        assert [len(row) async for row in rows] == [characters]
        await box.delete_item(id_, id_)
    one_byte, two_bytes = charges
    assert two_bytes - one_byte == pytest.approx(0.3 * characters / 10240, abs=0.02)


async def test_a_query_is_charged_for_the_documents_it_reads(box: ContainerProxy) -> None:
    for number in range(30):
        await box.create_item({"id": f"{number}", "n": number, "other": number})

    async def charged(condition: str) -> float:
        charges: list[float] = []
        rows = box.query_items(
            f"SELECT VALUE c.id FROM c WHERE {condition}",  # noqa: S608 - ours
            response_hook=lambda headers, _: charges.append(charge_in(headers)),
        )
        assert len([row async for row in rows]) == 1
        return sum(charges)

    few = await charged("c.n = 7")
    # Without an index for the condition, every document is read.
    all_ = await charged("c.other = 7")
    assert all_ - few == pytest.approx(29 * 0.03, abs=0.03)
    assert await charged("c.other = 7 AND c.n = 7") == pytest.approx(all_, abs=0.01)
    assert await ask(box, "SELECT VALUE COUNT(1) FROM c") == [30]
