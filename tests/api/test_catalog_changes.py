"""Changes of role groups: which are published, and what stays of a deleted group."""

from __future__ import annotations

from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from azure.servicebus.aio import ServiceBusClient

from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, READINESS_QUEUE
from local.stack import Stack
from shared.domain.context import LOCAL_TENANT
from tests.support.api import Api
from tests.support.waiting import until


async def published_about(client: ServiceBusClient, group: str) -> bool:
    """Whether a change of the group is in the queue.

    Each change publishes two events, of which the later one waits in the queue for half a minute.
    """
    async with client.get_queue_receiver(READINESS_QUEUE) as receiver:
        waiting = [str(each) for each in await receiver.peek_messages(250, sequence_number=1)]
    return any(f'"roleGroupId":"{group}"' in each for each in waiting)


async def test_a_refused_change_of_a_role_group_publishes_nothing(
    service: Api, service_bus_client: ServiceBusClient
) -> None:
    group = await service.new_role_group("aide")
    refused = [
        await service.patch(f"{service.groups}/staff", {"displayName": "Everybody"}),
        await service.delete(f"{service.groups}/staff"),
        await service.patch(f"{service.groups}/{group}", {"displayName": 1}),
    ]
    assert [answer.status for answer in refused] == [409, 409, 400]

    assert not await published_about(service_bus_client, "staff")
    assert not await published_about(service_bus_client, group)


async def test_new_roles_of_a_role_group_are_published_but_a_new_name_is_not(
    service: Api, service_bus_client: ServiceBusClient
) -> None:
    group = await service.new_role_group("aide")

    renamed = await service.patch(f"{service.groups}/{group}", {"displayName": "Assistants"})
    assert renamed.status == 204
    assert not await published_about(service_bus_client, group)

    changed = await service.patch(f"{service.groups}/{group}", {"roles": [{"code": "nurse"}]})
    assert changed.status == 204
    assert await published_about(service_bus_client, group)


async def test_a_deleted_role_group_is_published_and_its_tombstone_removed(
    service: Api, service_bus_client: ServiceBusClient, stack: Stack
) -> None:
    group = await service.new_role_group("aide")
    assert (await service.delete(f"{service.groups}/{group}")).status == 204
    assert await published_about(service_bus_client, group)

    async with CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        groups = client.get_database_client(COSMOS_DATABASE).get_container_client("roleGroups")

        async def gone() -> bool:
            try:
                await groups.read_item(group, LOCAL_TENANT)
            except CosmosResourceNotFoundError:
                return True
            return False

        await until(gone, f"the tombstone of {group} is removed")
