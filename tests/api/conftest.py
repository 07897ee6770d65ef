"""Entities that the tests of query options and of pages look for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest

from tests.support.api import Api, Flow, sort_index
from tests.support.bodies import NAMES


@dataclass(frozen=True)
class Stored:
    """Seven sets of which the first has all kinds of flow, a role group, three definitions."""

    word: str
    sets: list[str]
    full_set: str
    flows: dict[str, str]
    group: str
    definitions: list[str]

    def url(self, service: Api, name: str) -> str:
        """The address of a collection."""
        return {
            "sets": service.sets,
            "flows": f"{service.set(self.full_set)}/provisioningFlows",
            "groups": service.groups,
            "definitions": service.definitions,
        }[name]


@pytest.fixture(scope="module")
async def stored(service: Api) -> Stored:
    """Entities that a word of their own finds among those of other tests."""
    word = f"q{uuid.uuid4().hex[:10]}"
    sets = []
    for number in range(7):
        organisations = {
            "@odata.type": "#microsoft.graph.industryData.basicFilter",
            "attribute": "orgExternalId",
            "in": [str(number), "x"],
        }
        body = {
            "displayName": f"{word} No {number}",
            "filter": organisations if number % 2 else None,
        }
        created = await service.post(service.sets, body)
        assert created.status == 201, created.text
        sets.append(created.json()["id"])
    flows = {}
    for name in NAMES:
        created = await service.create(sets[0], name)
        flow = Flow(service, sets[0], created.json()["id"], "")
        await flow.until_status("ready")
        flows[name] = flow.id
    group = await service.new_role_group("nurse", name=f"{word} helpers")
    definitions = []
    for number in range(3):
        definition: dict[str, object] = {
            "referenceType": "RefRace",
            "displayName": f"{word} entry {number}",
            "code": f"{word}-{number}",
            "isDisabled": number == 2,
            "sortIndex": sort_index(),
        }
        created = await service.post(service.definitions, definition)
        assert created.status == 201, created.text
        definitions.append(created.json()["id"])
    return Stored(word, sets, sets[0], flows, group, definitions)
