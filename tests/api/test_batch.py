"""Batches: malformed parts, bodies of parts, limits; and the types that answers name."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from functions.http.batch import MAX_ANSWER_BYTES
from tests.support.api import NAMES, Answer, Api, Flow, assert_envelope

SETS = "/external/industryData/outboundProvisioningFlowSets"
JSON = {"Content-Type": "application/json"}
FILTER = {"@odata.type": "#microsoft.graph.industryData.basicFilter", "attribute": "orgExternalId"}


async def send(service: Api, requests: str) -> Answer:
    """Send a batch, its requests as JSON text."""
    body = f'{{"requests": [{requests}]}}'.encode()
    return await service.send("POST", f"{service.root}/$batch", body)


def create(body: str) -> str:
    """A request that creates a set, its body as JSON text."""
    return (
        f'{{"id": "1", "method": "POST", "url": "{SETS}", '
        f'"headers": {json.dumps(JSON)}, "body": {body}}}'
    )


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (create('{"displayName": "a", "displayName": "b"}'), "$.requests[0]"),
        (create('{"displayName": "a", "filter": {"in": [], "IN": []}}'), "$.requests[0]"),
        ('{"id": "1", "id": "2", "method": "GET", "url": "/$metadata"}', "$.requests[0]"),
        (
            '{"id": "1", "method": "GET", "url": "/$metadata", "headers": {"a": "b", "A": "c"}}',
            "$.requests[0]",
        ),
    ],
    ids=["body", "within the body", "request", "headers"],
)
async def test_a_member_that_is_given_twice_is_refused(
    service: Api, request_: str, target: str
) -> None:
    error = assert_envelope(await send(service, request_), 400, "BadRequest")
    assert [detail["target"] for detail in error["details"]] == [target]


@pytest.mark.parametrize("name", ["Grundschulen Süd ✓ 𝄞", '"quoted" \\ back', "a" * 256])
async def test_text_comes_through_unchanged(service: Api, name: str) -> None:
    answer = await send(service, create(json.dumps({"displayName": name})))
    [inside] = answer.json()["responses"]
    assert (inside["status"], inside["body"]["displayName"]) == (201, name)
    read = await service.get(inside["headers"]["Location"])
    assert read.json()["displayName"] == name


@pytest.mark.parametrize(
    ("body", "message"),
    [("7", "object"), ("[]", "object"), ('""', "JSON"), ("null", "Empty Payload")],
)
async def test_a_body_that_is_no_object_is_refused_in_its_own_answer(
    service: Api, body: str, message: str
) -> None:
    answer = await send(service, create(body))
    assert answer.status == 200
    [inside] = answer.json()["responses"]
    assert inside["status"] == 400
    assert message in inside["body"]["error"]["message"]


async def test_a_body_without_a_content_type_is_refused_as_it_would_be_alone(service: Api) -> None:
    request = create('{"displayName": "a"}').replace(json.dumps(JSON), "{}")
    [inside] = (await send(service, request)).json()["responses"]
    assert inside["status"] == 400
    assert "Content-Type" in inside["body"]["error"]["message"]


async def test_what_a_batch_creates_is_found_at_its_location(service: Api) -> None:
    [inside] = (await send(service, create('{"displayName": "a"}'))).json()["responses"]
    location = inside["headers"]["Location"]
    assert location == service.set(inside["body"]["id"])
    assert (await service.get(location)).json() == inside["body"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/beta", 200),
        ("/external/industryData/roleGroups('%73taff')", 200),
        ("/external/industryData/roleGroups('%2573taff')", 404),
        ("/external/industryData/roleGroups/%2573taff", 404),
    ],
)
async def test_the_path_of_a_part_is_decoded_once(service: Api, url: str, status: int) -> None:
    answer = await service.post(f"{service.root}/$batch", {"requests": [part(url=url)]})
    [inside] = answer.json()["responses"]
    assert inside["status"] == status


async def test_links_in_a_batch_lead_on(service: Api) -> None:
    for number in range(3):
        await service.new_set(f"batch link {number}")
    request = (
        f'{{"id": "1", "method": "GET", "url": "{SETS}?$top=3&$select=id", '
        '"headers": {"Prefer": "maxpagesize=2"}}'
    )
    [inside] = (await send(service, request)).json()["responses"]
    following = await service.get(inside["body"]["@odata.nextLink"])
    first = {each["id"] for each in inside["body"]["value"]}
    then = [each["id"] for each in following.json()["value"]]
    assert then
    assert first.isdisjoint(then)


def part(**members: Any) -> dict[str, Any]:
    return {"id": "1", "method": "GET", "url": "/external/industryData", **members}


@pytest.mark.parametrize(
    ("members", "target"),
    [
        ({"url": "//["}, "$.requests[0].url"),
        ({"url": "http://["}, "$.requests[0].url"),
        ({"url": "//ex℀mple/"}, "$.requests[0].url"),
        ({"dependsOn": [[]]}, "$.requests[0].dependsOn"),
        ({"dependsOn": [{}]}, "$.requests[0].dependsOn"),
        ({"depends_on": ["0"]}, "$.requests[0]"),
        ({"url": "/$batch"}, "$.requests[0].url"),
        ({"url": "/%24batch"}, "$.requests[0].url"),
        ({"url": "/%24BATCH/"}, "$.requests[0].url"),
        ({"url": "/beta/$batch"}, "$.requests[0].url"),
        ({"url": "/BETA/$BATCH?x=1"}, "$.requests[0].url"),
    ],
)
async def test_a_malformed_part_of_a_batch_is_a_400_with_its_place(
    service: Api, members: dict[str, Any], target: str
) -> None:
    answer = await service.post(f"{service.root}/$batch", {"requests": [part(**members)]})

    error = assert_envelope(answer, 400, "BadRequest")
    assert [fault["target"] for fault in error["details"]] == [target]


async def test_a_deeply_nested_body_in_a_batch_is_a_400(service: Api) -> None:
    deep = "[" * 600 + "]" * 600
    body = f'{{"requests": [{{"id": "1", "method": "POST", "url": "/x", "body": {deep}}}]}}'

    answer = await service.send("POST", f"{service.root}/$batch", body.encode())

    error = assert_envelope(answer, 400, "BadRequest")
    assert [fault["target"] for fault in error["details"]] == ["$.requests[0].body"]


async def test_a_url_with_this_very_root_is_read_as_relative_to_it(service: Api) -> None:
    urls = [f"{service.root}{SETS}?$top=1", f"http://example.com/beta{SETS}"]

    own = await service.post(f"{service.root}/$batch", {"requests": [part(url=urls[0])]})
    other = await service.post(f"{service.root}/$batch", {"requests": [part(url=urls[1])]})

    [inside] = own.json()["responses"]
    assert (inside["status"], "value" in inside["body"]) == (200, True)
    error = assert_envelope(other, 400, "BadRequest")
    assert [fault["target"] for fault in error["details"]] == ["$.requests[0].url"]


async def test_answers_beyond_4_mib_in_all_are_refused_each_in_its_own_answer(
    service: Api,
) -> None:
    body = {"displayName": "long", "filter": {**FILTER, "in": [f"{n:0>250}" for n in range(1000)]}}
    created = await service.post(service.sets, body)
    assert created.status == 201, created.text
    url = f"{SETS}/{created.json()['id']}"
    fitting = MAX_ANSWER_BYTES // len(created.text)
    parts = [part(id=str(number), url=url) for number in range(20)]

    answer = await service.post(f"{service.root}/$batch", {"requests": parts})

    assert answer.status == 200
    assert len(answer.text) < MAX_ANSWER_BYTES + 64 * 1024
    statuses = [inside["status"] for inside in answer.json()["responses"]]
    assert (statuses.count(200), statuses.count(413)) == (fitting, 20 - fitting)
    refused = [inside for inside in answer.json()["responses"] if inside["status"] == 413]
    assert {inside["body"]["error"]["code"] for inside in refused} == {"RequestEntityTooLarge"}


# --- the types that answers name ---------------------------------------------------------------


def types_in(value: Any) -> set[str]:
    """Every @odata.type in a printed value."""
    if isinstance(value, list):
        return set().union(*map(types_in, value))
    if not isinstance(value, dict):
        return set()
    own = {value["@odata.type"]} if "@odata.type" in value else set()
    return own.union(*(types_in(inner) for inner in value.values()))


async def test_the_types_that_answers_name_are_the_concrete_ones_of_metadata(
    service: Api,
) -> None:
    filtered = {
        "@odata.type": "#microsoft.graph.industryData.basicFilter",
        "attribute": "orgExternalId",
        "in": [],
    }
    created = await service.post(service.sets, {"displayName": "Types", "filter": filtered})
    set_id = created.json()["id"]
    for name in NAMES:
        made = await service.create(set_id, name)
        await Flow(service, set_id, made.json()["id"], "").until_status("ready")
    printed = await service.get(service.set(set_id), {"$expand": "provisioningFlows"})
    named = types_in(printed.json())

    metadata = ET.fromstring(  # noqa: S314 - the service's own
        (await service.get(f"{service.root}/$metadata")).text
    )
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    derived = {}
    for schema in metadata.iter(f"{edm}Schema"):
        for kind in (*schema.iter(f"{edm}EntityType"), *schema.iter(f"{edm}ComplexType")):
            full_name = f"{schema.get('Namespace')}.{kind.get('Name')}"
            derived[full_name] = (kind.get("BaseType"), kind.get("Abstract") == "true")
    abstract_bases = {name for name, (_, abstract) in derived.items() if abstract}
    # Printed where the declared type is abstract, but for references to roles: those are
    # collections of one concrete type, and entities declare theirs.
    expected = {
        f"#{name}"
        for name, (base, abstract) in derived.items()
        if not abstract
        and base in abstract_bases
        and base not in ("microsoft.graph.entity", "microsoft.graph.industryData.referenceValue")
    }
    assert named == expected


def read(part_id: str, url: str, *needed: str, method: str = "GET") -> str:
    """A request without a body, as JSON text."""
    return json.dumps({"id": part_id, "method": method, "url": url, "dependsOn": list(needed)})


async def test_a_url_may_refer_to_what_an_earlier_request_created(service: Api) -> None:
    requests = [
        create('{"displayName": "a"}'),
        read("2", "/$1", "1"),
        read("3", "/$2/provisioningFlows", "2"),
    ]
    made, whole, below = (await send(service, ",".join(requests))).json()["responses"]
    assert made["status"] == 201, made
    assert (whole["status"], whole["body"]["id"]) == (200, made["body"]["id"])
    assert (below["status"], below["body"]["value"]) == (200, [])


async def test_a_reference_needs_a_dependency(service: Api) -> None:
    requests = f"{create(json.dumps({'displayName': 'a'}))}, {read('2', '/$1')}"
    error = assert_envelope(await send(service, requests), 400, "BadRequest")
    assert [detail["target"] for detail in error["details"]] == ["$.requests[1].dependsOn"]


@pytest.mark.parametrize("first", ["/", "/external"])
@pytest.mark.parametrize("behind", ["$batch", "/$batch", "../$batch", "%24batch"])
async def test_a_reference_does_not_lead_to_a_batch(service: Api, first: str, behind: str) -> None:
    requests = f"{read('1', first)}, {read('2', f'/$1/{behind}', '1', method='POST')}"
    *_, inside = (await send(service, requests)).json()["responses"]
    assert inside["status"] in (400, 424), inside


async def test_an_atomicity_group_is_refused_before_anything_is_carried_out(service: Api) -> None:
    name = "all or none"
    group = create(json.dumps({"displayName": name})).replace(
        '{"id"', '{"atomicityGroup": "g", "id"'
    )
    error = assert_envelope(await send(service, group), 400, "BadRequest")
    [detail] = error["details"]
    assert detail["target"] == "$.requests[0].atomicityGroup"
    assert "one by one" in detail["message"]
    found = await service.get(service.sets, {"$filter": f"displayName eq '{name}'"})
    assert found.json()["value"] == []


async def test_a_multipart_batch_is_415_in_words(service: Api) -> None:
    media_type = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = await service.send("POST", f"{service.root}/$batch", b"--b--", **media_type)
    assert "JSON batch" in assert_envelope(answer, 415, "UnsupportedMediaType")["message"]
