"""The official Python client makes, renews and ends subscriptions, and reads them in its model."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from kiota_abstractions.authentication import AnonymousAuthenticationProvider
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_beta.generated.models.subscription import Subscription

from tests.support.receiver import CLIENT_STATE, Receiver, resource_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:(This class|GetQueryParameters) is deprecated:DeprecationWarning"
)


@pytest.fixture
async def client(api: str, token: str) -> AsyncIterator[Any]:
    """The client with another base address, and a token in its headers."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        adapter = GraphRequestAdapter(AnonymousAuthenticationProvider(), http)
        adapter.base_url = api
        yield GraphServiceClient(request_adapter=adapter)


async def test_the_official_client_makes_renews_and_ends_a_subscription(
    client: Any, set_id: str, receiver: Receiver
) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    wanted = Subscription(
        change_type="created,updated",
        notification_url=receiver.url,
        lifecycle_notification_url=receiver.url + "/lifecycle",
        resource=resource_of(set_id),
        expiration_date_time=until,
        client_state=CLIENT_STATE,
    )
    made = await client.subscriptions.post(wanted)
    assert made.client_state == CLIENT_STATE
    assert made.expiration_date_time == until
    assert made.additional_data == {"@odata.context": made.additional_data["@odata.context"]}

    of_id = client.subscriptions.by_subscription_id(made.id)
    later = until + timedelta(days=2)
    assert (await of_id.patch(Subscription(expiration_date_time=later))).id == made.id
    read = await of_id.get()
    assert (read.expiration_date_time, read.resource) == (later, resource_of(set_id))
    assert (read.change_type, read.client_state) == ("created,updated", None)
    assert made.id in [each.id for each in (await client.subscriptions.get()).value]

    with pytest.raises(ODataError) as caught:
        await client.subscriptions.post(wanted)
    assert caught.value.response_status_code == 409
    await of_id.delete()
    with pytest.raises(ODataError) as gone:
        await of_id.get()
    assert gone.value.response_status_code == 404
