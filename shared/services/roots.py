"""Use cases of what the collections are reached through: the service root and its singletons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from shared.contract.printing import Printer
from shared.domain.permissions import (
    OUTBOUND_FLOW_READ,
    REFERENCE_LIST,
    ROLE_GROUP_LIST,
    Permission,
)
from shared.odata.model import EXTERNAL, INDUSTRY_DATA_ROOT, SERVICE
from shared.odata.options import ITEM, QueryOptions
from shared.services.flow_sets import FlowSets
from shared.services.reference_definitions import ReferenceDefinitions
from shared.services.representations import Asked, Collection, Representations
from shared.services.role_groups import RoleGroups

Authorize = Callable[[Permission], Awaitable[object]]
"""Raises Forbidden where the caller lacks a permission."""

_PERMISSIONS: Final = {
    "outboundProvisioningFlowSets": OUTBOUND_FLOW_READ,
    "referenceDefinitions": REFERENCE_LIST,
    "roleGroups": ROLE_GROUP_LIST,
}


def service_document(asked: Asked, printer: Printer) -> dict[str, Any]:
    """Return what is at the service root, the same for all tenants. Raises InvalidRequest."""
    options = asked.options(ITEM, SERVICE)
    external = {"name": "external", "kind": "Singleton", "url": "external"}
    return {"@odata.context": printer.service_context(), "value": [options.project(external)]}


@dataclass(frozen=True)
class Roots:
    """Reads `external` and `industryData`, with the first pages of their collections inside."""

    answers: Representations
    flow_sets: FlowSets
    role_groups: RoleGroups
    reference_definitions: ReferenceDefinitions

    async def external(self, asked: Asked, authorize: Authorize) -> dict[str, Any]:
        """Return the singleton that leads to industryData. Raises Forbidden for what it expands."""
        options = self.answers.item_options(asked, EXTERNAL)
        printed: dict[str, Any] = {}
        expand = options.expands("industryData")
        if expand is not None:
            url = f"{_address(asked.url)}/industryData"
            printed["industryData"] = await self._root(expand.options, url, authorize)
        suffix = options.context_suffix()
        context = self.answers.printer.context("external", selected=suffix)
        return {"@odata.context": context, **options.project(printed)}

    async def industry_data(self, asked: Asked, authorize: Authorize) -> dict[str, Any]:
        """Return the root of industryData. Raises Forbidden for a collection that it expands."""
        options = self.answers.item_options(asked, INDUSTRY_DATA_ROOT)
        printed = await self._root(options, _address(asked.url), authorize)
        suffix = options.context_suffix()
        context = self.answers.printer.context(
            "external/industryData", selected=suffix, entity=True
        )
        return {"@odata.context": context, **printed}

    async def _root(self, options: QueryOptions, url: str, authorize: Authorize) -> dict[str, Any]:
        printed: dict[str, Any] = {"id": "industryData"}
        for expand in options.expand:
            name = expand.navigation.path
            await authorize(_PERMISSIONS[name])
            page = await self._page(name, expand.params, f"{url}/{name}")
            # A collection's members belong to the expanded property here.
            printed |= {
                f"{name}{member if member.startswith('@') else ''}": value
                for member, value in page.body.items()
            }
        return options.project(printed)

    async def _page(self, name: str, params: Mapping[str, str], url: str) -> Collection:
        collections: Mapping[str, FlowSets | RoleGroups | ReferenceDefinitions] = {
            "outboundProvisioningFlowSets": self.flow_sets,
            "referenceDefinitions": self.reference_definitions,
            "roleGroups": self.role_groups,
        }
        written = "&".join(f"{quote(key)}={quote(text)}" for key, text in params.items())
        return await collections[name].page(Asked(params, None, f"{url}?{written}"))


def _address(url: str) -> str:
    return url.partition("#")[0].partition("?")[0].rstrip("/")
