"""Flow sets in Cosmos DB: one document a set, one conditional request an operation.

Nothing that a client chose ever enters a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from azure.core import MatchConditions
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.cosmos import Cosmos
from shared.contract.json_body import write_json
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.errors import Conflict, NotFound, StoreUnavailable
from shared.domain.flows import HISTORY_ENTRIES, role_codes_of, role_groups_of
from shared.domain.ids import microseconds
from shared.domain.readiness import Change, Outcome, explain
from shared.odata.cosmos import Query

FLOW_SETS = "flowSets"
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024  # the last set aside; some have a MiB, most a few KiB

_USER = "userProvisioningFlow"
_USER_ENTRIES = f"c.flows.{_USER}.configuration.creationOptions.configurations"


@dataclass(frozen=True)
class Applied:
    """What became of a change, and the status that it replaced where it was applied."""

    outcome: Outcome
    before: str | None = None


class FlowStore:
    """Flow sets and the flows inside them."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos
        self._container = cosmos.container(FLOW_SETS)

    async def create_set(self, document: Mapping[str, Any]) -> None:
        """Store a new flow set."""
        try:
            async with self._cosmos.request():
                await self._container.create_item(dict(document), no_response=True)
        except CosmosResourceExistsError:
            # Ids are never given twice: the SDK repeated a request whose answer was lost.
            return

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

    async def page_of_sets(self, query: Query, most: int) -> tuple[list[dict[str, Any]], bool]:
        """Return `most` documents, or MAX_PAGE_BYTES of them, and whether there are more."""
        documents: list[dict[str, Any]] = []
        size = 0
        async with self._cosmos.request():
            found = self._container.query_items(
                query.text, parameters=query.parameters, max_item_count=most + 1
            )
            async for document in found:
                if len(documents) == most or size > MAX_PAGE_BYTES:
                    return documents, True
                documents.append(document)
                size += len(write_json(document))
        return documents, False

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
        condition = f"NOT IS_DEFINED(c.flows.{kind})"
        if await self._patch(set_id, [operation], condition) is not None:
            return
        # The SDK may have repeated a request whose answer was lost: then the flow is ours.
        stored = (await self.read_set(set_id))["flows"].get(kind)
        if stored is None or stored["id"] != flow["id"]:
            raise Conflict(
                f"Flow set '{set_id}' has a {kind} already; a set holds one of each kind. "
                "Update that one, or use another set."
            )

    async def read_configuration(
        self, set_id: str, kind: str, flow_id: str, revision: int | None
    ) -> dict[str, Any] | None:
        """Return a flow's configuration at a revision; None where it is gone or has changed."""
        try:
            flow = (await self.read_set(set_id))["flows"].get(kind)
        except NotFound:
            return None
        if flow is None or (flow["id"], flow["revision"]) != (flow_id, revision):
            return None
        configuration: dict[str, Any] = flow["configuration"]
        return configuration

    async def write_set(self, stored: Mapping[str, Any], members: Mapping[str, Any]) -> bool:
        """Write members of a flow set over those of the stored one.

        False where another write came between. Raises NotFound.
        """
        operations = [{"op": "set", "path": f"/{name}", "value": v} for name, v in members.items()]
        condition = f"c.lastModifiedDateTime = '{stored['lastModifiedDateTime']}'"
        return await self._patch(stored["id"], operations, condition) is not None

    async def delete_set(self, set_id: str, etag: str | None = None) -> bool:
        """Delete a flow set and the flows in it; False where `etag` is not the stored one's.

        Raises NotFound.
        """
        condition: dict[str, Any] = {}
        if etag is not None:
            condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        try:
            async with self._cosmos.request():
                await self._container.delete_item(set_id, set_id, **condition)
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError:
            return False
        return True

    async def replace_flow(
        self, set_id: str, kind: str, stored: Mapping[str, Any], flow: Mapping[str, Any]
    ) -> bool:
        """Write a flow over the stored one; False where another write came between.

        Raises NotFound for the set.
        """
        operation = {"op": "set", "path": f"/flows/{kind}", "value": flow}
        return await self._patch(set_id, [operation], _unchanged(kind, stored)) is not None

    async def remove_flow(self, set_id: str, kind: str, stored: Mapping[str, Any]) -> bool:
        """Remove a flow from its set; False where another write came between.

        Raises NotFound for the set.
        """
        operation = {"op": "remove", "path": f"/flows/{kind}"}
        return await self._patch(set_id, [operation], _unchanged(kind, stored)) is not None

    async def read_flow(self, set_id: str, flow_id: str) -> tuple[str, dict[str, Any]]:
        """Return a flow's kind and its stored form; raises NotFound for the set or the flow."""
        for kind, flow in (await self.read_set(set_id))["flows"].items():
            if flow["id"] == flow_id:
                return kind, flow
        raise NotFound(flow_id)

    async def _patch(
        self,
        set_id: str,
        operations: list[dict[str, Any]],
        condition: str,
        *,
        returned: bool = False,
    ) -> dict[str, Any] | None:
        """Change a set where the condition holds and return it, empty unless `returned` is set.

        None where the condition does not hold. Raises NotFound.
        """
        try:
            async with self._cosmos.request():
                document = await self._container.patch_item(
                    set_id,
                    set_id,
                    operations,
                    filter_predicate=f"FROM c WHERE {condition}",
                    no_response=not returned,
                )
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError:
            return None
        return dict(document) if returned else {}

    async def apply(self, change: Change) -> Applied:
        """Write a readiness status if its event is news for that revision of that flow.

        The predicate is `readiness.explain` in Cosmos DB's words; only after a refused write is the
        flow read to find out why.
        """
        flow, position = f"c.flows.{change.kind}", change.position
        path = f"/flows/{change.kind}"
        entry = {
            "readinessStatus": change.verdict.status,
            "reason": change.verdict.reason,
            "revision": change.revision,
            "eventId": change.event_id,
            "eventAt": position.at,
            "appliedAt": microseconds(),
        }
        current = (
            f"{flow}.revisedAt <= {position.at}"
            if change.revision is None
            else f"{flow}.revision = {change.revision}"
        )
        condition = (
            f"{flow}.id = '{change.flow_id}' AND {current} "
            f"AND ({flow}.appliedAt < {position.at} OR ({flow}.appliedAt = {position.at} "
            f"AND {flow}.appliedKey < '{position.key}'))"
        )
        operations: list[dict[str, Any]] = [
            {"op": "set", "path": f"{path}/readinessStatus", "value": change.verdict.status},
            {"op": "set", "path": f"{path}/reason", "value": change.verdict.reason},
            {"op": "set", "path": f"{path}/appliedAt", "value": position.at},
            {"op": "set", "path": f"{path}/appliedKey", "value": position.key},
            {"op": "remove", "path": f"{path}/history/{HISTORY_ENTRIES - 1}"},
            {"op": "add", "path": f"{path}/history/0", "value": entry},
        ]
        try:
            written = await self._patch(change.flow_set_id, operations, condition, returned=True)
        except NotFound:
            return Applied(Outcome.GONE)
        if written is None:
            return Applied(await self._why_refused(change))
        before = written["flows"][change.kind]["history"][1]
        return Applied(Outcome.APPLIED, None if before is None else before["readinessStatus"])

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

    async def due_flows(self, now: int, most: int) -> list[tuple[str, str, dict[str, Any]]]:
        """Return flows that are notReady and due to be checked again: set id, kind, flow."""
        due = " OR ".join(
            f"(c.flows.{kind}.readinessStatus = 'notReady' AND c.flows.{kind}.askAgainAt <= @now)"
            for kind in FLOW_SCHEMAS
        )
        query = Query(
            f"SELECT TOP @most * FROM c WHERE {due}",  # noqa: S608 - kinds are our own words
            [{"name": "@now", "value": now}, {"name": "@most", "value": most}],
        )
        return [
            (document["id"], kind, flow)
            for document in await self.query_sets(query, most)
            for kind, flow in document["flows"].items()
            if flow["readinessStatus"] == "notReady" and flow["askAgainAt"] <= now
        ][:most]

    async def note_recheck(
        self, set_id: str, kind: str, flow: Mapping[str, Any], asks: int, at: int
    ) -> bool:
        """Note that a flow's check was requested `asks` times and is due again at `at`.

        False where the flow changed: only one that is notReady, and whose check was requested as
        often as `flow` says, is written to.
        """
        path = f"/flows/{kind}"
        condition = (
            f"{_unchanged(kind, flow)} AND c.flows.{kind}.asks = {flow['asks']} "
            f"AND c.flows.{kind}.readinessStatus = 'notReady'"
        )
        operations: list[dict[str, Any]] = [
            {"op": "set", "path": f"{path}/asks", "value": asks},
            {"op": "set", "path": f"{path}/askAgainAt", "value": at},
        ]
        try:
            return await self._patch(set_id, operations, condition) is not None
        except NotFound:
            return False

    async def flows_that_use(
        self, role_groups: Collection[str], role_code: str | None, after: str, most: int
    ) -> tuple[list[tuple[str, str, dict[str, Any]]], str | None]:
        """Return flows (set id, kind, flow) that refer to a role group or map the role.

        At most `most` sets after the id `after` are read; the second value is the id to continue
        after, None at the end.
        """
        conditions = []
        parameters: list[dict[str, Any]] = [
            {"name": "@most", "value": most},
            {"name": "@after", "value": after},
        ]
        if role_groups:
            conditions.append(_some(_USER_ENTRIES, "ARRAY_CONTAINS(@groups, e.roleGroup)"))
            parameters.append({"name": "@groups", "value": sorted(role_groups)})
        if role_code is not None:
            mappings = "c.flows.classGroupProvisioningFlow.configuration.configuration"
            for side in ("owner", "member"):
                entries = f"{mappings}.enrollmentMappings.{side}EnrollmentMappings"
                conditions.append(_some(entries, "e.code = @code"))
            parameters.append({"name": "@code", "value": role_code})
        query = Query(
            f"SELECT TOP @most * FROM c WHERE c.id > @after AND ({' OR '.join(conditions)}) "  # noqa: S608 - all words are our own
            "ORDER BY c.id",
            parameters,
        )
        documents = await self.query_sets(query, most)
        found = [
            (document["id"], kind, flow)
            for document in documents
            for kind, flow in document["flows"].items()
            if _uses(flow, set(role_groups), role_code)
        ]
        return found, documents[-1]["id"] if len(documents) == most else None

    async def flows_sealed_otherwise(
        self, key_id: str, after: str, most: int
    ) -> tuple[list[tuple[str, dict[str, Any]]], str | None]:
        """Return user flows (set id, flow) with a password that `key_id` or today's form lacks.

        That is one sealed by another key, or before passwords were bound to their role group. At
        most `most` sets after the id `after` are given; the second value is the id to continue
        after, None at the end.
        """
        password = "e.defaultPasswordSettings.password"  # noqa: S105 - a path
        outdated = _some(
            _USER_ENTRIES,
            f"IS_DEFINED({password}.keyId) "
            f"AND ({password}.keyId != @key OR NOT IS_DEFINED({password}.bound))",
        )
        query = Query(
            f"SELECT TOP @most * FROM c WHERE c.id > @after AND {outdated} ORDER BY c.id",  # noqa: S608 - all words are our own
            [
                {"name": "@most", "value": most},
                {"name": "@after", "value": after},
                {"name": "@key", "value": key_id},
            ],
        )
        documents = await self.query_sets(query, most)
        found = [(document["id"], document["flows"][_USER]) for document in documents]
        return found, documents[-1]["id"] if len(documents) == most else None

    async def put_resealed(
        self, set_id: str, flow: Mapping[str, Any], configuration: Mapping[str, Any]
    ) -> bool:
        """Store a user flow's configuration with other seals; False: it is gone or was changed.

        Nothing else of the flow is written: for its readers and its engine it stays as it is.
        """
        operations = [
            {"op": "set", "path": f"/flows/{_USER}/configuration", "value": configuration}
        ]
        # Each change of a configuration raises the revision; readiness may change meanwhile.
        condition = (
            f"c.flows.{_USER}.id = '{flow['id']}' AND c.flows.{_USER}.revision = {flow['revision']}"
        )
        try:
            return await self._patch(set_id, operations, condition) is not None
        except NotFound:
            return False


def _some(entries: str, condition: str) -> str:
    """Say, as a predicate, that a condition holds for some entry `e` of a collection."""
    return f"EXISTS(SELECT VALUE e FROM e IN {entries} WHERE {condition})"  # noqa: S608 - as above


def _uses(flow: Mapping[str, Any], role_groups: set[str], role_code: str | None) -> bool:
    configuration = flow["configuration"]
    if role_groups & role_groups_of(configuration):
        return True
    return role_code in role_codes_of(configuration)


def _unchanged(kind: str, flow: Mapping[str, Any]) -> str:
    """Say, as a predicate, that nothing was written to a flow since it was read."""
    return (
        f"c.flows.{kind}.id = '{flow['id']}' AND c.flows.{kind}.revision = {flow['revision']} "
        f"AND c.flows.{kind}.appliedKey = '{flow['appliedKey']}'"
    )
