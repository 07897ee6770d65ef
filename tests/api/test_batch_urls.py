"""The URLs of a batch's parts: with and without the root, in any case, as clients write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.api import Api

SETS = "external/industryData/outboundProvisioningFlowSets"
ROOTED: list[Callable[[str], str]] = [
    lambda root: f"/{SETS}",
    lambda root: SETS,
    lambda root: f"/beta/{SETS}",
    lambda root: f"beta/{SETS}",
    lambda root: f"/BETA/{SETS}",
    lambda root: f"/Beta/{SETS.upper()}",
    lambda root: f"{root}/{SETS}",
    lambda root: f"{root.upper()}/{SETS}",
    lambda root: f"{root.replace('http://', 'HTTP://')}/{SETS}",
]


async def answered(service: Api, **part: Any) -> Any:
    body = {"requests": [{"id": "1", "method": "GET", **part}]}
    answer = await service.post(f"{service.root}/$batch", body)
    assert answer.status == 200, answer.text
    return answer.json()["responses"][0]


@pytest.mark.parametrize("url", ROOTED)
async def test_a_location_has_the_root_once_and_names_in_their_declared_case(
    service: Api, url: Callable[[str], str]
) -> None:
    inside = await answered(
        service,
        method="POST",
        url=url(service.root),
        headers={"Content-Type": "application/json"},
        body={"displayName": "a"},
    )
    assert inside["headers"]["Location"].lower() == service.set(inside["body"]["id"]).lower()
    assert (await service.get(inside["headers"]["Location"])).json() == inside["body"]


@pytest.mark.parametrize("url", ROOTED)
async def test_a_next_link_has_the_root_once(service: Api, url: Callable[[str], str]) -> None:
    for number in range(2):
        await service.new_set(f"batch url {number}")
    inside = await answered(service, url=f"{url(service.root)}?$top=1")
    link = inside["body"]["@odata.nextLink"]
    assert link.lower().startswith(f"{service.root}/{SETS}?".lower())
    assert (await service.get(link)).status == 200


@pytest.mark.parametrize(
    "url",
    [
        lambda root: "/",
        lambda root: "/beta",
        lambda root: "/BETA/",
        lambda root: root,
        lambda root: f"{root}/",
        lambda root: f"{root}?$format=json",
    ],
)
async def test_the_root_itself_is_its_service_document(
    service: Api, url: Callable[[str], str]
) -> None:
    inside = await answered(service, url=url(service.root))
    assert inside["status"] == 200, inside
    assert inside["body"] == (await service.get(service.root)).json()


@pytest.mark.parametrize("url", [lambda root: f"{root}x/{SETS}", lambda root: f"{root}.com/{SETS}"])
async def test_an_address_that_only_begins_like_the_root_is_another_one(
    service: Api, url: Callable[[str], str]
) -> None:
    body = {"requests": [{"id": "1", "method": "GET", "url": url(service.root)}]}
    answer = await service.post(f"{service.root}/$batch", body)
    assert answer.status == 400, answer.text
