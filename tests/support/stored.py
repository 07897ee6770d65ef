"""What the app has stored, read past it."""

from __future__ import annotations

from typing import Any

from azure.cosmos.aio import ContainerProxy

from shared.adapters.keyring import Keyring


async def stored_flow(sets: ContainerProxy, set_id: str, kind: str) -> dict[str, Any]:
    """The flow of one kind in a set."""
    flow: dict[str, Any] = (await sets.read_item(set_id, set_id))["flows"][kind]
    return flow


async def stored_passwords(
    sets: ContainerProxy, keyring: Keyring, set_id: str
) -> dict[str, str | None]:
    """The passwords of a set's user flow in clear, by role group; None where there is none."""
    flow = await stored_flow(sets, set_id, "userProvisioningFlow")
    found: dict[str, str | None] = {}
    for entry in flow["configuration"]["creationOptions"]["configurations"]:
        settings = entry["defaultPasswordSettings"]
        found[entry["roleGroup"]] = (
            settings and keyring.open(settings["password"], flow["id"], entry["roleGroup"]).reveal()
        )
    return found
