"""Filters over the flows inside sets: SQL run by the Cosmos DB emulator, against memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import ContainerProxy

from shared.contract.loading import load_flow, password_settings
from shared.contract.printing import Printer
from shared.contract.stored import flow_configuration
from shared.domain import flows
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS
from shared.domain.errors import InvalidRequest
from shared.domain.ids import new_id
from shared.domain.secrets import StoredPassword
from shared.odata.conditions import Conditions
from shared.odata.cosmos import count_query, page_query
from shared.odata.filters import MAX_NODES, parse_filter
from shared.odata.listing import passing
from shared.odata.model import FLOW_SET
from shared.odata.options import COLLECTION, COUNT, QueryOptions
from shared.odata.paging import open_page
from shared.odata.sql import Parameters
from tests.odata.cosmos_queries import run

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
NAMES = ("administrative_unit", "class_group", "security_group", "user")
TYPE = "microsoft.graph.industryData."
UNIT = f"{TYPE}administrativeUnitProvisioningFlow"
CLASS = f"{TYPE}classGroupProvisioningFlow"
USER = f"{TYPE}userProvisioningFlow"
SIMPLE = f"{TYPE}simplePasswordSettings"


def stored_flow(name: str, number: int) -> tuple[str, dict[str, Any]]:
    kind, values = load_flow(json.loads((PAYLOADS / f"{name}.request.json").read_text("utf-8")))
    for _, settings in password_settings(values):
        settings["password"] = StoredPassword({"sealed": "x"})
    flow = flows.first_revision(new_id(), flow_configuration(kind, values))
    flow["readinessStatus"] = ("notReady", "ready", "failed")[number % 3]
    flow["createdDateTime"] = f"202{number % 4}-03-2{number % 5}T21:28:02.0000000Z"
    if number % 2 and "createUnmatchedUsers" in flow["configuration"]:
        flow["configuration"]["createUnmatchedUsers"] = None
    return kind, flow


def stored_set(number: int, names: tuple[str, ...]) -> dict[str, Any]:
    document = flows.new_flow_set({"displayName": f"{number}", "filter": None})
    document["flows"] = dict(stored_flow(name, number) for name in names)
    return document


SUBSETS = [each for size in range(5) for each in itertools.combinations(NAMES, size)]
SETS = sorted(
    (stored_set(number, names) for number, names in enumerate(SUBSETS * 3)),
    key=lambda document: str(document["id"]),
)
_PRINTER = Printer("https://graph.microsoft.com/beta")
PRINTED = [
    {**_PRINTER.flow_set(each), "provisioningFlows": _PRINTER.flows(each, BUILT_IN_ROLE_GROUPS)}
    for each in SETS
]


@pytest.fixture(scope="module")
def sets(container: Callable[[str], ContainerProxy]) -> ContainerProxy:
    filled = container("sets-with-flows")
    for document in SETS:
        filled.create_item(document)
    return filled


FILTERS = [
    "provisioningFlows/any()",
    "not provisioningFlows/any()",
    "provisioningFlows/$count gt 2",
    "provisioningFlows/$count eq 0",
    "provisioningFlows/$count add 1 mul 2 eq 4",
    f"provisioningFlows/{USER}/any()",
    f"provisioningFlows/{USER}/$count eq 0",
    f"provisioningFlows/{TYPE}provisioningFlow/$count eq 4",
    "provisioningFlows/any(f:f/readinessStatus eq 'ready')",
    f"provisioningFlows/{CLASS}/any(f:f/readinessStatus in ('ready','failed'))",
    "provisioningFlows/all(f:f/readinessStatus ne 'failed')",
    f"provisioningFlows/{USER}/all(f:f/readinessStatus eq 'ready')",
    "not provisioningFlows/all(f:f/readinessStatus has 'ready')",
    f"provisioningFlows/any(f:isof(f,{USER}))",
    f"provisioningFlows/all(f:isof(f,'{USER}') or isof(f,{UNIT}))",
    f"provisioningFlows/any(f:not isof(f,{USER}))",
    f"provisioningFlows/any(f:isof(f,{TYPE}provisioningFlow) and f/readinessStatus eq 'failed')",
    f"provisioningFlows/any(f:f/{USER}/createUnmatchedUsers eq true)",
    f"provisioningFlows/any(f:f/{USER}/createUnmatchedUsers eq null)",
    f"provisioningFlows/all(f:f/{USER}/createUnmatchedUsers ne null)",
    f"provisioningFlows/{USER}/any(f:f/createUnmatchedUsers)",
    f"provisioningFlows/{USER}/any(f:f/createUnmatchedUsers eq null)",
    f"provisioningFlows/any(f:f/{UNIT}/creationOptions/createBasedOnOrg)",
    f"provisioningFlows/any(f:f/{UNIT}/creationOptions eq null)",
    "provisioningFlows/any(f:year(f/createdDateTime) eq 2021 and day(f/createdDateTime) gt 21)",
    "provisioningFlows/any(f:f/createdDateTime gt 2022-01-01)",
    f"provisioningFlows/any(f:f/id eq '{SETS[0]['id']}' or $it/displayName eq '7')",
    "provisioningFlows/any(f:startswith(f/id,'a') or contains(tolower(f/id),'b0'))",
    f"provisioningFlows/any(f:f/{CLASS}/configuration/enrollmentMappings/ownerEnrollmentMappings"
    "/any(m:m/code eq 'teacher'))",
    f"provisioningFlows/any(f:f/{CLASS}/configuration/enrollmentMappings/ownerEnrollmentMappings"
    "/$count gt 3)",
    f"provisioningFlows/{USER}/any(f:f/creationOptions/configurations/any(c:"
    "c/roleGroup/id eq 'staff' and c/licenseSkus/any(s:startswith(s,'O'))))",
    f"provisioningFlows/{USER}/any(f:f/creationOptions/configurations/any(c:"
    f"isof(c/defaultPasswordSettings,{SIMPLE})))",
    f"provisioningFlows/{USER}/any(f:f/creationOptions/configurations/all(c:"
    "c/roleGroup/id ne 'students'))",
    "provisioningFlows/any(f:f/readinessStatus eq 'ready') and provisioningFlows/$count lt 3",
]


def options(text: str) -> QueryOptions:
    return QueryOptions.parse({"filter": text}, COLLECTION, FLOW_SET)


@pytest.mark.parametrize("text", FILTERS, ids=range(len(FILTERS)))
def test_cosmos_and_memory_find_the_same_sets(sets: ContainerProxy, text: str) -> None:
    asked = options(text)
    expected = [each["id"] for each in passing(asked, PRINTED)]
    found = run(sets, page_query(asked, open_page(asked, b"")))
    assert [each["id"] for each in found] == expected
    counting = QueryOptions.parse({"filter": text}, COUNT, FLOW_SET)
    assert sum(run(sets, count_query(counting))) == len(expected)


def test_the_filters_tell_sets_apart() -> None:
    found = [len(passing(options(text), PRINTED)) for text in FILTERS]
    some = [count for count in found if 0 < count < len(SETS)]
    assert len(some) > len(FILTERS) - 6, found


@pytest.mark.parametrize(
    ("member", "named"),
    [
        ("roleGroup/displayName eq 'x'", "roleGroup/id"),
        ("roleGroup eq null", "roleGroup/id"),
        ("roleGroup/roles/any(r:r/code eq 'x')", "roleGroup/id"),
        ("roleGroup/roles/$count eq 1", "roleGroup/id"),
    ],
)
def test_what_sets_are_not_stored_with_is_refused(member: str, named: str) -> None:
    text = f"provisioningFlows/{USER}/any(f:f/creationOptions/configurations/any(c:c/{member}))"
    asked = options(text)
    with pytest.raises(InvalidRequest) as refused:
        count_query(asked)
    (fault,) = refused.value.faults
    assert (fault.target, named in fault.message) == ("$filter", True)


@pytest.mark.parametrize(
    "text",
    [
        "provisioningFlows/any(f:provisioningFlows/any(g:g/id eq f/id))",
        "provisioningFlows/all(f:$it/provisioningFlows/any(g:g/id eq f/id))",
    ],
)
def test_flows_are_not_looked_through_for_each_flow(text: str) -> None:
    with pytest.raises(InvalidRequest, match="look into the entry itself"):
        parse_filter(text, FLOW_SET)


def test_sql_grows_with_its_filter_and_not_with_its_depth() -> None:
    condition = " or ".join(["f/id eq 'x'"] * (MAX_NODES // 3 - 1))
    for text in (
        f"provisioningFlows/any(f:{condition})",
        f"provisioningFlows/any(f:{'not (' * 15}f/id eq 'x'{')' * 15})",
        " or ".join(["provisioningFlows/any(f:f/id eq 'x')"] * 20),
        f"provisioningFlows/$count{' add 1' * 15} gt 3",
    ):
        parameters = Parameters()
        where = Conditions(parameters).condition(parse_filter(text, FLOW_SET))
        assert len(where) < 60 * len(text)
        assert len(parameters.values) <= 4 * MAX_NODES
