"""`industrydata assign-earlier`: what was stored before there were tenants gets its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy

from local.config import COSMOS_DATABASE
from local.stack import Stack
from shared.adapters.partition import ROLE_GROUPS, TENANT
from shared.domain.context import LOCAL_TENANT
from tests.cli.conftest import Command, Ran
from tests.support.api import Api, sort_index
from tests.support.stored import cosmos_client


@pytest.fixture
async def earlier(stack: Stack) -> AsyncIterator[dict[str, ContainerProxy]]:
    """The containers that releases before had; a test's documents in them are deleted."""
    async with cosmos_client(stack.config.cosmos_endpoint) as client:
        database = client.get_database_client(COSMOS_DATABASE)
        keys = {"roleGroups": "id", "referenceDefinitions": "referenceType"}
        containers = {
            name: await database.create_container_if_not_exists(name, PartitionKey(path=f"/{key}"))
            for name, key in keys.items()
        }
        yield containers
        for name, container in containers.items():
            for left in [each async for each in container.read_all_items()]:
                await container.delete_item(left["id"], left[keys[name]])


async def assign(command: Command, *arguments: str) -> Ran:
    return await asyncio.to_thread(command.run, "assign-earlier", *arguments)


async def test_where_nothing_is_left_there_is_nothing_to_do(command: Command) -> None:
    ran = await assign(command)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"0 documents of earlier releases went to tenant {LOCAL_TENANT}.\n"


async def test_documents_of_before_are_assigned_for_good(
    command: Command, service: Api, earlier: dict[str, ContainerProxy]
) -> None:
    groups = [str(uuid.uuid4()) for _ in range(120)]
    for number, group in enumerate(groups):
        document = {"id": group, "displayName": f"Before {number}", "roles": [{"code": "aide"}]}
        await earlier["roleGroups"].create_item(document)
    assert (await service.get(f"{service.groups}/{groups[0]}")).status == 404
    ran = await assign(command, "--json")
    assert ran.value() == {"tenantId": LOCAL_TENANT, "assigned": 120, "staying": []}
    for group in (groups[0], groups[-1]):
        assert (await service.get(f"{service.groups}/{group}")).status == 200
    assert [each async for each in earlier["roleGroups"].read_all_items()] == []
    for group in groups:
        assert (await service.delete(f"{service.groups}/{group}")).status == 204


async def test_what_a_release_before_wrote_after_a_copy_was_made_is_kept(
    command: Command, stack: Stack, service: Api, earlier: dict[str, ContainerProxy]
) -> None:
    # A move that was interrupted after it had copied.
    documents = [
        {"id": str(uuid.uuid4()), "displayName": f"Copied {number}", "roles": [{"code": "aide"}]}
        for number in range(2)
    ]
    changed_before, changed_here = documents
    await earlier["roleGroups"].create_item(changed_here)
    async with cosmos_client(stack.config.cosmos_endpoint) as client:
        database = client.get_database_client(COSMOS_DATABASE)
        copies = database.get_container_client(ROLE_GROUPS)
        for each in documents:
            await copies.create_item({**each, TENANT: LOCAL_TENANT})
    await asyncio.sleep(1.1)  # the store keeps times in seconds
    await earlier["roleGroups"].create_item({**changed_before, "displayName": "Changed before"})
    url = f"{service.groups}/{changed_here['id']}"
    assert (await service.patch(url, {"displayName": "Changed here"})).status == 204
    assert (await assign(command)).code == 0
    for each, name in ((changed_before, "Changed before"), (changed_here, "Changed here")):
        answer = await service.get(f"{service.groups}/{each['id']}")
        assert answer.json()["displayName"] == name
    assert [each async for each in earlier["roleGroups"].read_all_items()] == []


async def test_what_stays_does_not_hide_what_can_be_assigned(
    command: Command, service: Api, earlier: dict[str, ContainerProxy]
) -> None:
    taken: dict[str, Any] = {
        "referenceType": "RefRace",
        "isDisabled": False,
        "code": f"taken{uuid.uuid4().hex[:8]}",
        "displayName": "Taken",
        "sortIndex": sort_index(),
    }
    assert (await service.post(service.definitions, taken)).status == 201
    free = {
        **taken,
        "code": f"free{uuid.uuid4().hex[:8]}",
        "sortIndex": sort_index(),
        "source": "Tenant Defined",
        "createdDateTime": "2026-11-01T10:00:00.0000000Z",
        "lastModifiedDateTime": "2026-11-01T10:00:00.0000000Z",
    }
    for each in [taken] * 100 + [free]:
        document = {**each, "id": str(uuid.uuid4()), "codeKey": each["code"]}
        await earlier["referenceDefinitions"].create_item(document)
    ran = await assign(command)
    assert (ran.code, ran.out.split()[0]) == (1, "1"), ran.err
    assert (await service.get(f"{service.definitions}/{document['id']}")).status == 200


async def test_a_definition_whose_code_another_one_has_stays_and_is_named(
    command: Command, service: Api, earlier: dict[str, ContainerProxy]
) -> None:
    definition: dict[str, Any] = {
        "referenceType": "RefRace",
        "isDisabled": False,
        "code": f"taken{uuid.uuid4().hex[:8]}",
        "displayName": "Taken",
        "sortIndex": sort_index(),
    }
    assert (await service.post(service.definitions, definition)).status == 201
    document = {**definition, "id": str(uuid.uuid4()), "codeKey": definition["code"]}
    await earlier["referenceDefinitions"].create_item(document)
    for _ in range(2):
        ran = await assign(command)
        assert (ran.code, ran.out.split()[0]) == (1, "0")
        assert ran.err == (
            "1 reference definition cannot be assigned: another one has the code or sort index by "
            f"now. {document['id']}\n"
        )
