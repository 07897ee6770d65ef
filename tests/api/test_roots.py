"""What leads to the collections: the service root, `external`, `industryData`, with options."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api, assert_envelope

CONTEXT = "https://graph.microsoft.com/beta/$metadata"
DOCUMENT = {
    "@odata.context": CONTEXT,
    "value": [{"name": "external", "kind": "Singleton", "url": "external"}],
}
COLLECTIONS = ("outboundProvisioningFlowSets", "referenceDefinitions", "roleGroups")


@pytest.mark.parametrize("path", ["", "/", "/beta", "/beta/", "/BETA"])
async def test_the_service_document_is_at_the_root_of_host_and_service(
    service: Api, path: str
) -> None:
    answer = await service.get(f"{service.root.removesuffix('/beta')}{path}")
    assert (answer.status, answer.json()) == (200, DOCUMENT)


async def test_what_the_service_document_lists_exists(service: Api) -> None:
    [listed] = (await service.get(service.root)).json()["value"]
    answer = await service.get(f"{service.root}/{listed['url']}")
    assert (answer.status, answer.json()) == (200, {"@odata.context": f"{CONTEXT}#external"})


@pytest.mark.parametrize(
    ("path", "options", "body"),
    [
        ("", {"$select": "name", "$expand": "*"}, {**DOCUMENT, "value": [{"name": "external"}]}),
        (
            "/external",
            {"$expand": "industryData"},
            {
                "@odata.context": f"{CONTEXT}#external(industryData())",
                "industryData": {"id": "industryData"},
            },
        ),
        (
            "/external/industryData",
            {"$select": "id"},
            {
                "@odata.context": f"{CONTEXT}#external/industryData(id)/$entity",
                "id": "industryData",
            },
        ),
        (
            "/external/industryData",
            {"$expand": "roleGroups($select=id;$filter=id eq 'staff';$count=true)"},
            {
                "@odata.context": f"{CONTEXT}#external/industryData(roleGroups(id))/$entity",
                "id": "industryData",
                "roleGroups@odata.context": f"{CONTEXT}#external/industryData/roleGroups(id)",
                "roleGroups@odata.count": 1,
                "roleGroups": [{"id": "staff"}],
            },
        ),
    ],
)
async def test_options_count_on_what_leads_to_the_collections(
    service: Api, path: str, options: dict[str, object], body: dict[str, Any]
) -> None:
    answer = await service.get(f"{service.root}{path}", options)
    assert answer.status == 200, answer.text
    assert list(answer.json().items()) == list(body.items())


@pytest.mark.parametrize(
    ("path", "expand", "into"),
    [
        ("/external/industryData", "*", ()),
        ("/external", "industryData($expand=*)", ("industryData",)),
    ],
)
async def test_the_first_page_of_every_collection_is_expanded_with_a_link_to_the_next(
    service: Api, path: str, expand: str, into: tuple[str, ...]
) -> None:
    expand = expand.replace("*", ",".join(f"{name}($top=1;$orderby=id)" for name in COLLECTIONS))
    await service.new_set()
    await service.new_set()
    body = (await service.get(f"{service.root}{path}", {"$expand": expand})).json()
    for name in into:
        body = body[name]
    for name in COLLECTIONS:
        [first] = body[name]
        link = body[f"{name}@odata.nextLink"]
        assert link.startswith(f"{service.industry_data}/{name}?")
        [following] = (await service.get(link)).json()["value"]
        assert following["id"] > first["id"]


async def test_sets_are_expanded_with_their_flows(service: Api) -> None:
    flow = await service.new_flow()
    nested = (
        f"outboundProvisioningFlowSets($filter=id eq '{flow.set_id}';$select=id;"
        "$expand=provisioningFlows($select=id))"
    )
    body = (await service.get(service.industry_data, {"$expand": nested})).json()
    [found] = body["outboundProvisioningFlowSets"]
    assert [each["id"] for each in found["provisioningFlows"]] == [flow.id]


@pytest.mark.parametrize(
    ("path", "options", "target"),
    [
        ("", {"$select": "colour"}, "$select"),
        ("", {"$expand": "external"}, "$expand"),
        ("", {"$filter": "name eq 'x'"}, "$filter"),
        ("/external", {"$select": "id"}, "$select"),
        ("/external", {"$expand": "industryData($top=1)"}, "$expand"),
        ("/external/industryData", {"$expand": "roleGroups($filter=colour eq 'x')"}, "$expand"),
        ("/external/industryData", {"$expand": "runs"}, "$expand"),
    ],
)
async def test_what_is_not_there_is_refused_by_name(
    service: Api, path: str, options: dict[str, object], target: str
) -> None:
    answer = await service.get(f"{service.root}{path}", options)
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert detail["target"] == target
