"""Flow sets in Cosmos DB: one document a set, one conditional request an operation.

Nothing that a client chose ever enters a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from azure.core import MatchConditions
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceNotFoundError,
)

from shared.cosmos import Cosmos
from shared.errors import Conflict, NotFound, StoreUnavailable
from shared.odata import Query
from shared.readiness import Change, Outcome, explain

FLOW_SETS = "flowSets"
# How often an update is tried anew because another write came between its read and its write.
ATTEMPTS = 5

SetCheck = Callable[[Mapping[str, Any]], None]
SetChange = Callable[[Mapping[str, Any]], Mapping[str, Any]]
FlowCheck = Callable[[Mapping[str, Any]], None]
FlowChange = Callable[[str, Mapping[str, Any]], dict[str, Any]]


class FlowStore:
    """Flow sets and the flows inside them."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos
        self._container = cosmos.container(FLOW_SETS)

    async def create_set(self, document: Mapping[str, Any]) -> None:
        """Store a new flow set."""
        async with self._cosmos.request():
            await self._container.create_item(dict(document), no_response=True)

    async def read_set(self, set_id: str) -> dict[str, Any]:
        """Return a flow set's document; raises NotFound."""
        try:
            async with self._cosmos.request():
                return dict(await self._container.read_item(set_id, set_id))
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc

    async def query_sets(self, query: Query, most: int) -> list[dict[str, Any]]:
        """Return the documents that a query asks for, `most` of them in one request."""
        async with self._cosmos.request():
            found = self._container.query_items(
                query.text, parameters=query.parameters, max_item_count=min(most, 1000)
            )
            return [document async for document in found]

    async def count_sets(self, query: Query) -> int:
        """Return the number that a query for a count gives."""
        async with self._cosmos.request():
            found = self._container.query_items(query.text, parameters=query.parameters)
            # One number a physical partition, unless the SDK has added them up.
            counts: list[Any] = [number async for number in found]
            return sum(counts)

    async def add_flow(self, set_id: str, kind: str, flow: Mapping[str, Any]) -> None:
        """Put a new flow into its set, unless the set has one of that kind.

        Raises NotFound for the set and Conflict for the second of a kind.
        """
        operation = {"op": "add", "path": f"/flows/{kind}", "value": flow}
        if await self._patch(set_id, [operation], f"NOT IS_DEFINED(c.flows.{kind})"):
            return
        # The SDK may have repeated a request whose answer was lost: then the flow is ours.
        stored = (await self.read_set(set_id))["flows"].get(kind)
        if stored is None or stored["id"] != flow["id"]:
            raise Conflict(
                f"Flow set '{set_id}' has a {kind} already; a set holds one of each kind. "
                "Update that one, or use another set."
            )

    async def read_configuration(
        self, set_id: str, kind: str, flow_id: str, revision: int
    ) -> dict[str, Any] | None:
        """Return a flow's configuration as of one revision; None where it is gone or changed."""
        try:
            flow = (await self.read_set(set_id))["flows"].get(kind)
        except NotFound:
            return None
        if flow is None or flow["id"] != flow_id or flow["revision"] != revision:
            return None
        configuration: dict[str, Any] = flow["configuration"]
        return configuration

    async def update_set(self, set_id: str, change: SetChange) -> dict[str, Any]:
        """Write the members of a flow set that `change` returns; return the set as it is now.

        `change` sees the stored set and may refuse it by raising. Where another write comes
        between, it is asked again. Raises NotFound for the set.
        """
        for _ in range(ATTEMPTS):
            stored = await self.read_set(set_id)
            members = change(stored)
            written = await self._patch(
                set_id,
                [{"op": "set", "path": f"/{name}", "value": v} for name, v in members.items()],
                f"c.lastModifiedDateTime = '{stored['lastModifiedDateTime']}'",
            )
            if written:
                return {**stored, **members}
        raise StoreUnavailable

    async def delete_set(self, set_id: str, check: SetCheck | None = None) -> None:
        """Delete a flow set and the flows in it; `check` sees it first. Raises NotFound."""
        for _ in range(ATTEMPTS):
            condition: dict[str, Any] = {}
            if check is not None:
                stored = await self.read_set(set_id)
                check(stored)
                condition = {
                    "etag": stored["_etag"],
                    "match_condition": MatchConditions.IfNotModified,
                }
            try:
                async with self._cosmos.request():
                    await self._container.delete_item(set_id, set_id, **condition)
            except CosmosResourceNotFoundError as exc:
                raise NotFound(set_id) from exc
            except CosmosAccessConditionFailedError:
                continue
            return
        raise StoreUnavailable

    async def update_flow(
        self, set_id: str, flow_id: str, change: FlowChange
    ) -> tuple[str, dict[str, Any]]:
        """Replace a flow by what `change` makes of it; return its kind and what is stored now.

        As for update_set. Raises NotFound for the set or the flow.
        """
        for _ in range(ATTEMPTS):
            kind, stored = await self.read_flow(set_id, flow_id)
            flow = change(kind, stored)
            operation = {"op": "set", "path": f"/flows/{kind}", "value": flow}
            if await self._patch(set_id, [operation], _unchanged(kind, stored)):
                return kind, flow
        raise StoreUnavailable

    async def delete_flow(self, set_id: str, flow_id: str, check: FlowCheck) -> None:
        """Take a flow out of its set; `check` sees it first. Raises NotFound."""
        for _ in range(ATTEMPTS):
            kind, stored = await self.read_flow(set_id, flow_id)
            check(stored)
            operation = {"op": "remove", "path": f"/flows/{kind}"}
            if await self._patch(set_id, [operation], _unchanged(kind, stored)):
                return
        raise StoreUnavailable

    async def read_flow(self, set_id: str, flow_id: str) -> tuple[str, dict[str, Any]]:
        """Return a flow's kind and its stored form; raises NotFound for the set or the flow."""
        for kind, flow in (await self.read_set(set_id))["flows"].items():
            if flow["id"] == flow_id:
                return kind, flow
        raise NotFound(flow_id)

    async def _patch(self, set_id: str, operations: list[dict[str, Any]], condition: str) -> bool:
        """Change a set where the condition holds; False where it does not. Raises NotFound."""
        try:
            async with self._cosmos.request():
                await self._container.patch_item(
                    set_id,
                    set_id,
                    operations,
                    filter_predicate=f"FROM c WHERE {condition}",
                    no_response=True,
                )
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError:
            return False
        return True

    async def apply(self, change: Change) -> Outcome:
        """Write a readiness status if its event is news for that revision of that flow.

        The predicate is `readiness.explain` in Cosmos' words; only a refused write is read up on.
        """
        flow, position = f"c.flows.{change.kind}", change.position
        members = {
            "readinessStatus": change.verdict.status,
            "reason": change.verdict.reason,
            "appliedAt": position.at,
            "appliedKey": position.key,
        }
        condition = (
            f"{flow}.id = '{change.flow_id}' AND {flow}.revision = {change.revision} "
            f"AND ({flow}.appliedAt < {position.at} OR ({flow}.appliedAt = {position.at} "
            f"AND {flow}.appliedKey < '{position.key}'))"
        )
        operations = [
            {"op": "set", "path": f"/flows/{change.kind}/{name}", "value": value}
            for name, value in members.items()
        ]
        try:
            if await self._patch(change.flow_set_id, operations, condition):
                return Outcome.APPLIED
        except NotFound:
            return Outcome.GONE
        return await self._why_refused(change)

    async def _why_refused(self, change: Change) -> Outcome:
        try:
            flow_set = await self.read_set(change.flow_set_id)
        except NotFound:
            return Outcome.GONE
        outcome = explain(flow_set["flows"].get(change.kind), change)
        if outcome is Outcome.APPLIED:
            # The flow changed between the two requests; the queue delivers the event again.
            raise StoreUnavailable
        return outcome


def _unchanged(kind: str, flow: Mapping[str, Any]) -> str:
    """Say, as a predicate, that nothing was written to a flow since it was read."""
    return (
        f"c.flows.{kind}.id = '{flow['id']}' AND c.flows.{kind}.revision = {flow['revision']} "
        f"AND c.flows.{kind}.appliedKey = '{flow['appliedKey']}'"
    )
