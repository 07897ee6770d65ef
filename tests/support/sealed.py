"""Flows whose passwords were sealed by another key than today's, as they are stored."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from azure.cosmos.aio import ContainerProxy

from shared.adapters.keyring import Keyring
from shared.domain.context import LOCAL_TENANT
from tests.support.api import Api, Flow

FORMER_KEY = f"former:{base64.b64encode(b'f' * 32).decode()}"
"""In the ring of the stack, behind the key that seals."""
LOST_KEY = f"lost:{base64.b64encode(b'g' * 32).decode()}"
"""In no ring."""


@dataclass(frozen=True)
class Sealed:
    """Makes and reads such flows; `keys` is the ring of the stack."""

    stored: ContainerProxy
    keys: str

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self.keys.partition(":")[0]

    async def make(self, service: Api, *, key: str = FORMER_KEY) -> Flow:
        """A ready user flow with two passwords, sealed as if before the change of the key."""
        flow = await service.new_flow("user")
        await flow.until_status("ready")
        document = await self.document(flow)
        ring, old = Keyring.read(self.keys, LOCAL_TENANT), Keyring.read(key, LOCAL_TENANT)
        for entry in entries(document):
            settings = entry["defaultPasswordSettings"]
            group = entry["roleGroup"]
            clear = ring.open(settings["password"], flow.id, group)
            settings["password"] = old.seal(clear, flow.id, group)
        await self.stored.replace_item(flow.set_id, document)
        return flow

    async def document(self, flow: Flow) -> dict[str, Any]:
        """A flow's set, as it is stored."""
        return dict(await self.stored.read_item(flow.set_id, LOCAL_TENANT))

    async def key_ids(self, flow: Flow) -> list[str]:
        """The keys that have sealed a flow's passwords."""
        return [
            entry["defaultPasswordSettings"]["password"]["keyId"]
            for entry in entries(await self.document(flow))
        ]


def entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The configurations of the stored user flow."""
    flow = document["flows"]["userProvisioningFlow"]
    found: list[dict[str, Any]] = flow["configuration"]["creationOptions"]["configurations"]
    return found
