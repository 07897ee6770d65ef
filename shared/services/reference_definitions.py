"""Use cases of reference definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.printing import DEFINITIONS, reference_definition, version
from shared.contract.stored import changed_definition, disabled_definition, new_definition
from shared.domain.catalog import ROLE_REFERENCE_TYPE
from shared.domain.conditions import Conditions
from shared.domain.flows import Stored
from shared.odata.model import REFERENCE_DEFINITION
from shared.services.repeats import Repeats
from shared.services.representations import (
    Asked,
    Collection,
    Representation,
    Representations,
    counted,
)
from shared.services.writing import until_written

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore, Written
    from shared.services.announcing import Announcer


@dataclass(frozen=True)
class ReferenceDefinitions:
    """Creates, reads, changes and disables entries of code lists."""

    catalog: CatalogStore
    announcer: Announcer
    answers: Representations
    repeats: Repeats

    async def page(self, asked: Asked) -> Collection:
        """Return a page of the reference definitions, built in and added."""
        request = self.answers.list_request(asked, REFERENCE_DEFINITION, DEFINITIONS)
        return self.answers.list_of(request, await self._all())

    async def count(self, asked: Asked) -> int:
        """Return the number of reference definitions that pass $filter and $search."""
        options = self.answers.count_options(asked, REFERENCE_DEFINITION)
        return counted(options, await self._all())

    async def get(self, definition_id: str, asked: Asked) -> Representation:
        """Return one reference definition. Raises NotFound."""
        options = self.answers.item_options(asked, REFERENCE_DEFINITION)
        found = await self.catalog.definition(definition_id)
        return self.answers.item(DEFINITIONS, options, reference_definition(found))

    async def create(self, body: Any, client_request_id: str | None = None) -> Representation:
        """Add an entry to one of the code lists that can be extended.

        Raises InvalidRequest, or Conflict where its code or its sort index is taken, unless by a
        repeat of the request.
        """
        request = self.repeats.digest(DEFINITIONS, client_request_id, body)
        document = await self.catalog.create_definition(new_definition(body, request))
        # The documented answer to this operation, unlike all others, prints the declared type.
        declared = {TYPE_MEMBER: f"#{NAMESPACE}referenceDefinition"}
        printed = reference_definition(document)
        return self.answers.whole(DEFINITIONS, {**declared, **printed}, lambda: version(printed))

    async def update(self, definition_id: str, body: Any, conditions: Conditions) -> Representation:
        """Change the name, the place or the state of an entry.

        Raises InvalidRequest, NotFound, PreconditionFailed, or Conflict where its sort index is
        taken.
        """
        document = await self._rewrite(
            definition_id, conditions, lambda stored: changed_definition(stored, body)
        )
        return self.answers.whole(DEFINITIONS, reference_definition(document))

    async def disable(self, definition_id: str, conditions: Conditions) -> None:
        """Disable an entry: it stays readable, for data that refers to it.

        Raises NotFound or PreconditionFailed.
        """
        await self._rewrite(definition_id, conditions, disabled_definition)

    async def _rewrite(
        self,
        definition_id: str,
        conditions: Conditions,
        change: Callable[[Stored], dict[str, Any]],
    ) -> dict[str, Any]:
        """Replace a definition by what `change` makes of it; announce what flows depend on."""
        changed: dict[str, Any] | None = None

        async def attempt() -> tuple[dict[str, Any], Written] | None:
            nonlocal changed
            stored = await self.catalog.definition(definition_id)
            if changed is None or reference_definition(changed) != reference_definition(stored):
                # Otherwise the SDK repeated a request whose answer was lost, and it counted.
                conditions.require(lambda: version(reference_definition(stored)))
            changed = change(stored)
            # Flows refer to roles only, and depend on whether they are disabled.
            is_role = stored["referenceType"] == ROLE_REFERENCE_TYPE
            switched = changed["isDisabled"] != stored["isDisabled"]
            written = await self.catalog.replace_definition(
                stored, changed, announce=is_role and switched
            )
            return None if written is None else (changed, written)

        document, written = await until_written(attempt)
        await self.announcer.catalog_changed(written.unannounced)
        return document

    async def _all(self) -> list[dict[str, Any]]:
        return [reference_definition(each) for each in await self.catalog.definitions()]
