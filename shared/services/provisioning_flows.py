"""Use cases of the provisioning flows inside a flow set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.loading import (
    load_flow,
    password_settings,
    role_group_ids,
    unknown_role_groups,
)
from shared.contract.printing import collection_of, flows_path, readiness_history, version
from shared.contract.stored import flow_as_sent, flow_configuration
from shared.contract.updates import merge_flow
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS
from shared.domain.conditions import Conditions, Version
from shared.domain.context import current_caller
from shared.domain.errors import NotFound
from shared.domain.flows import (
    Stored,
    first_revision,
    next_revision,
    passwords,
    reset_flow,
    role_groups_of,
    same_revision,
)
from shared.domain.ids import new_id
from shared.domain.secrets import Ring, Seals, Secret, StoredPassword
from shared.odata.model import PROVISIONING_FLOW
from shared.services.repeats import Repeats
from shared.services.representations import (
    Asked,
    Collection,
    Representation,
    Representations,
    counted,
)
from shared.services.role_groups import inline_role_groups
from shared.services.writing import until_written
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.password_audit import PasswordAudit
    from shared.services.announcing import Announcer


def new_flow(
    kind: str, values: dict[str, Any], keyring: Seals, request: str | None = None
) -> dict[str, Any]:
    """Make the stored form of a new flow from its loaded values, its passwords sealed.

    `request` is the digest of the request that creates it, by which its repeats are known.
    """
    flow_id = new_id()
    _seal_passwords(values, flow_id, keyring)
    flow = first_revision(flow_id, flow_configuration(kind, values))
    return flow if request is None else {**flow, "request": request}


def _seal_passwords(values: dict[str, Any], flow_id: str, keyring: Seals) -> None:
    """Seal the passwords of a loaded flow in place: from here on none is in clear."""
    for group, settings in password_settings(values):
        password = settings["password"]
        if isinstance(password, Secret):
            settings["password"] = StoredPassword(keyring.seal(password, flow_id, group))


@dataclass(frozen=True)
class ProvisioningFlows:
    """Creates, reads, changes, resets and deletes flows, and reads their passwords."""

    store: FlowStore
    catalog: CatalogStore
    announcer: Announcer
    answers: Representations
    keyring: Ring
    audit: Callable[[], PasswordAudit]
    repeats: Repeats

    async def create(
        self, set_id: str, body: Any, client_request_id: str | None = None
    ) -> Representation:
        """Store a flow of one of the four kinds and request its readiness check.

        Raises InvalidRequest, NotFound for the set, or Conflict for a second flow of a kind, unless
        a repeat of the request stored that one.
        """
        kind, values = load_flow(body)
        await self._refuse_unknown_groups(values, set())
        request = self.repeats.digest(flows_path(set_id), client_request_id, body)
        new = new_flow(kind, values, self.keyring, request)
        flow = await until_written(lambda: self.store.add_flow(set_id, kind, new))
        if flow["id"] == new["id"]:
            await self.announcer.flow_written(set_id, kind, flow)
        printed = self.answers.printer.flow(set_id, kind, flow, None)
        return self.answers.whole(flows_path(set_id), printed, self._version(set_id, kind, flow))

    async def page(self, set_id: str, asked: Asked) -> Collection:
        """Return a page of the flows of a set. Raises NotFound."""
        request = self.answers.list_request(asked, PROVISIONING_FLOW, flows_path(set_id))
        return self.answers.list_of(request, await self._all(set_id))

    async def count(self, set_id: str, asked: Asked) -> int:
        """Return the number of flows of a set that pass $filter. Raises NotFound."""
        options = self.answers.count_options(asked, PROVISIONING_FLOW)
        return counted(options, await self._all(set_id))

    async def get(self, set_id: str, flow_id: str, asked: Asked) -> Representation:
        """Return one flow as its own type. Raises NotFound."""
        options = self.answers.item_options(asked, PROVISIONING_FLOW)
        kind, flow = await self.store.read_flow(set_id, flow_id)
        printed = await self._printed(set_id, kind, flow)
        own = self._version(set_id, kind, flow)
        return self.answers.item(flows_path(set_id), options, printed, own)

    async def history(self, set_id: str, flow_id: str) -> dict[str, Any]:
        """Return what has happened to a flow's readiness, newest first. Raises NotFound."""
        _, flow = await self.store.read_flow(set_id, flow_id)
        context = self.answers.printer.context(collection_of("readinessChange"))
        return {"@odata.context": context, "value": readiness_history(flow)}

    async def update(
        self, set_id: str, flow_id: str, body: Any, conditions: Conditions
    ) -> Representation:
        """Change a flow's configuration, which is then checked again.

        Raises InvalidRequest, NotFound or PreconditionFailed.
        """

        async def change(kind: str, stored: Stored) -> dict[str, Any]:
            current = stored["configuration"]
            _, values = load_flow(merge_flow(kind, flow_as_sent(kind, current), body))
            # What the flow refers to already stays possible, also after such a group was deleted.
            await self._refuse_unknown_groups(values, role_groups_of(current))
            _seal_passwords(values, stored["id"], self.keyring)
            return next_revision(stored, flow_configuration(kind, values))

        kind, flow = await self._rewrite(set_id, flow_id, conditions, change)
        printed = await self._printed(set_id, kind, flow)
        return self.answers.whole(flows_path(set_id), printed, self._version(set_id, kind, flow))

    async def reset(self, set_id: str, flow_id: str, conditions: Conditions) -> None:
        """Restart a flow as it is. Raises NotFound or PreconditionFailed."""

        async def change(kind: str, stored: Stored) -> dict[str, Any]:
            return reset_flow(stored)

        await self._rewrite(set_id, flow_id, conditions, change)

    async def delete(self, set_id: str, flow_id: str, conditions: Conditions) -> None:
        """Remove a flow from its set. Raises NotFound or PreconditionFailed."""

        tried = False

        async def attempt() -> bool | None:
            nonlocal tried
            try:
                kind, stored = await self.store.read_flow(set_id, flow_id, to_write=True)
            except NotFound:
                if tried:
                    return True  # the SDK repeated a request whose answer was lost
                raise
            conditions.require(self._version(set_id, kind, stored))
            tried = True
            await self.announcer.notifier.removing(set_id, [(kind, stored)])
            return await self.store.remove_flow(set_id, kind, stored) or None

        await until_written(attempt)
        self.announcer.notifier.changed(set_id)

    async def read_passwords(self, set_id: str, flow_id: str) -> dict[str, Any]:
        """Return the initial passwords of a flow's users in clear, for the provisioning engine.

        A flow of a kind that has no passwords gives an empty list. Each reading is recorded before
        anything is returned, and leaves a log line: both name the caller. Raises NotFound,
        UnreadablePassword, or StoreUnavailable where it cannot be recorded.
        """
        _, flow = await self.store.read_flow(set_id, flow_id)
        found = passwords(flow, self.keyring)
        recorded = await self.audit().record(set_id, flow_id, [group for group, _ in found])
        caller = current_caller.get()
        log_event(
            "passwordsRead",
            flowSetId=set_id,
            flowId=flow_id,
            caller=None if caller is None else vars(caller),
            count=len(found),
            record=recorded,
        )
        context = self.answers.printer.context(collection_of("initialPassword"))
        value = [{"roleGroup": group, "password": secret.reveal()} for group, secret in found]
        return {"@odata.context": context, "value": value}

    async def _rewrite(
        self,
        set_id: str,
        flow_id: str,
        conditions: Conditions,
        change: Callable[[str, Stored], Awaitable[dict[str, Any]]],
    ) -> tuple[str, dict[str, Any]]:
        """Replace a flow by what `change` makes of it and request its check."""
        tried: dict[str, Any] | None = None

        async def attempt() -> tuple[str, dict[str, Any]] | None:
            nonlocal tried
            kind, stored = await self.store.read_flow(set_id, flow_id, to_write=True)
            if tried is not None and same_revision(stored, tried):
                # The SDK repeated a request whose answer was lost: it was this one that counted.
                return kind, stored
            conditions.require(self._version(set_id, kind, stored))
            tried = await change(kind, stored)
            written = await self.store.replace_flow(set_id, kind, stored, tried)
            return (kind, tried) if written else None

        kind, flow = await until_written(attempt)
        await self.announcer.flow_written(set_id, kind, flow)
        return kind, flow

    def _version(self, set_id: str, kind: str, flow: Stored) -> Version:
        """Return what computes a flow's version: role groups that it shows have their own."""
        printer = self.answers.printer
        return lambda: version(printer.flow(set_id, kind, flow, None), flow["revision"])

    async def _refuse_unknown_groups(self, values: dict[str, Any], kept: set[str]) -> None:
        """Raise InvalidRequest where a loaded flow binds to a role group that does not exist."""
        named = {*role_group_ids(values)} - BUILT_IN_ROLE_GROUPS.keys() - kept
        if not named:
            return
        known = await self.catalog.known_role_groups(named)
        error = unknown_role_groups(values, {*known, *BUILT_IN_ROLE_GROUPS, *kept})
        if error is not None:
            raise error

    async def _all(self, set_id: str) -> list[dict[str, Any]]:
        document = await self.store.read_set(set_id)
        groups = await inline_role_groups(self.catalog, *document["flows"].values())
        return self.answers.printer.flows(document, groups)

    async def _printed(self, set_id: str, kind: str, flow: Stored) -> dict[str, Any]:
        groups = await inline_role_groups(self.catalog, flow)
        return self.answers.printer.flow(set_id, kind, flow, groups)
