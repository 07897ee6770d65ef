"""Batches: their form, limits and order; each part is answered as if it came alone."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

import pytest

from functions.http.batch import MAX_ANSWER_BYTES
from tests.support.api import UNKNOWN, Answer, Api, assert_envelope
from tests.support.bodies import request_body

SETS = "/external/industryData/outboundProvisioningFlowSets"
JSON = {"Content-Type": "application/json"}
FILTER = {"@odata.type": "#microsoft.graph.industryData.basicFilter", "attribute": "orgExternalId"}


async def batch(service: Api, *requests: dict[str, Any]) -> Answer:
    """Send a batch; requests without an id are numbered."""
    numbered = [{"id": str(number), **each} for number, each in enumerate(requests)]
    return await service.post(f"{service.root}/$batch", {"requests": numbered})


async def answers(service: Api, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of a batch that is accepted, in the order of its requests."""
    answer = await batch(service, *requests)
    assert answer.status == 200, answer.text
    found = {each["id"]: each for each in answer.json()["responses"]}
    return [found[each.get("id", str(number))] for number, each in enumerate(requests)]


def get(url: str) -> dict[str, Any]:
    """A request to read."""
    return {"method": "GET", "url": url}


def post(url: str, body: Any) -> dict[str, Any]:
    """A request with a body."""
    headers = {"Content-Type": "application/json"}
    return {"method": "POST", "url": url, "headers": headers, "body": body}


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
    values = [f"{'😀' * 97}{n:03}" for n in range(1000)]  # four bytes each
    body = {"displayName": "long", "filter": {**FILTER, "in": values}}
    text = json.dumps(body, ensure_ascii=False).encode()
    created = await service.send("POST", service.sets, text)
    assert created.status == 201, created.text
    url = f"{SETS}/{created.json()['id']}"
    fitting = MAX_ANSWER_BYTES // len(created.text.encode())
    parts = [part(id=str(number), url=url) for number in range(20)]

    answer = await service.post(f"{service.root}/$batch", {"requests": parts})

    assert answer.status == 200
    assert len(answer.text.encode()) < MAX_ANSWER_BYTES + 64 * 1024
    statuses = [inside["status"] for inside in answer.json()["responses"]]
    assert (statuses.count(200), statuses.count(413)) == (fitting, 20 - fitting)
    refused = [inside for inside in answer.json()["responses"] if inside["status"] == 413]
    assert {inside["body"]["error"]["code"] for inside in refused} == {"RequestEntityTooLarge"}


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


# --- many requests, one after another, each as if it came alone ---------------------------------


async def test_twenty_requests_are_carried_out(service: Api) -> None:
    word = uuid.uuid4().hex
    made = await answers(service, *(post(SETS, {"displayName": f"{word} {n}"}) for n in range(20)))
    assert [each["status"] for each in made] == [201] * 20
    count = await service.get(f"{service.sets}/$count", {"$search": word})
    assert count.text == "20"


async def test_twenty_one_requests_are_refused_and_none_is_carried_out(service: Api) -> None:
    word = uuid.uuid4().hex
    refused = await batch(service, *(post(SETS, {"displayName": word}) for _ in range(21)))
    assert "20" in assert_envelope(refused, 400, "BadRequest")["message"]
    assert (await service.get(f"{service.sets}/$count", {"$search": word})).text == "0"


@pytest.mark.parametrize(
    ("requests", "target"),
    [
        ([], "$.requests"),
        ([{"method": "POST", "url": "/$batch", "body": {"requests": []}}], "$.requests[0].url"),
        *(
            ([{"method": "POST", "url": url}], "$.requests[0].url")
            for url in (
                *("$BATCH", "/$batch", "/%24batch", "/%24BATCH/", "/beta/$batch"),
                *("/BETA/$BATCH?x=1", "https://example.org/x", "//[", "http://[", "//ex℀mple/"),
            )
        ),
        ([{**get("/x"), "dependsOn": [[]]}], "$.requests[0].dependsOn"),
        ([{**get("/x"), "dependsOn": [{}]}], "$.requests[0].dependsOn"),
        ([get("/x"), {**get("/y"), "id": "2", "dependsOn": ["1"] * 21}], "$.requests[1].dependsOn"),
        ([{**get("/x"), "headers": {f"x{n}": "" for n in range(101)}}], "$.requests[0].headers"),
        ([{**get("/x"), "headers": ["a"]}], "$.requests[0].headers"),
        ([{**get("/x"), "headers": {"a": 1}}], "$.requests[0].headers"),
        ([{**get("/x"), "depends_on": ["0"]}], "$.requests[0]"),
        ([{"method": "BREW", "url": "/x"}], "$.requests[0].method"),
        ([get("/x"), {**get("/y"), "id": "0"}], "$.requests[1].id"),
        ([{**get("/x"), "dependsOn": ["0"]}], "$.requests[0].dependsOn"),
        ([{**get("/x"), "dependsOn": ["1"]}, get("/y")], "$.requests[0].dependsOn"),
    ],
)
async def test_a_malformed_batch_is_refused_with_the_place(
    service: Api, requests: list[dict[str, Any]], target: str
) -> None:
    error = assert_envelope(await batch(service, *requests), 400, "BadRequest")
    assert [fault["target"] for fault in error["details"]] == [target]


async def test_a_request_waits_for_what_it_depends_on(service: Api) -> None:
    set_id = await service.new_set()
    flows = f"{SETS}/{set_id}/provisioningFlows"
    user = post(flows, json.loads(request_body("user")))
    made, listed, gone, none = await answers(
        service,
        {**user, "id": "make"},
        {**get(flows), "id": "list", "dependsOn": ["make"]},
        {"method": "DELETE", "url": f"{SETS}/{set_id}", "id": "delete", "dependsOn": ["list"]},
        {**get(flows), "id": "after", "dependsOn": ["delete"]},
    )
    assert [made["status"], gone["status"], none["status"]] == [201, 204, 404]
    assert [each["id"] for each in listed["body"]["value"]] == [made["body"]["id"]]
    assert "body" not in gone


async def test_what_depends_on_a_failure_is_not_tried(service: Api) -> None:
    word = uuid.uuid4().hex
    failed, *rest, alone = await answers(
        service,
        {**get(f"{SETS}/{UNKNOWN}"), "id": "a"},
        {**post(SETS, {"displayName": word}), "id": "b", "dependsOn": ["a"]},
        {**post(SETS, {"displayName": word}), "id": "c", "dependsOn": ["b"]},
        {**get("/"), "url": "/external/industryData", "id": "d"},
    )
    assert (failed["status"], alone["status"]) == (404, 200)
    assert [each["status"] for each in rest] == [424, 424]
    assert [each["body"]["error"]["code"] for each in rest] == ["FailedDependency"] * 2
    assert (await service.get(f"{service.sets}/$count", {"$search": word})).text == "0"


VOLATILE = re.compile(
    r'"(request-id|client-request-id|date|createdDateTime|lastModifiedDateTime)": "[^"]*"'
)


@pytest.mark.parametrize(
    "request_",
    [
        get(SETS + "?$top=2&$count=true&$orderby=displayName%20desc"),
        get(SETS + "/{set}"),
        get(
            "/External/IndustryData/OutboundProvisioningFlowSets('{set}')?$expand=provisioningFlows"
        ),
        get(SETS + "/{set}/provisioningFlows/{flow}"),
        get(SETS + "/{set}/provisioningFlows/{flow}?select=id"),
        get(SETS + "/{set}/provisioningFlows/$count"),
        get(SETS + "/{set}?$filter=id%20eq%20'x'"),
        get(SETS + f"/{UNKNOWN}"),
        get("/$metadata"),
        get("/nothing/here"),
        get("/external/industryData/roleGroups/staff"),
        {**get("/external/industryData"), "headers": {"Authorization": "Bearer nothing"}},
        {**get(SETS + "/{set}"), "headers": {"Accept": "application/json;odata.metadata=none"}},
        {**get(SETS + "/{set}"), "headers": {"If-None-Match": "*"}},
        {"method": "PUT", "url": SETS + "/{set}"},
        {"method": "PATCH", "url": SETS + "/{set}", "body": {}},
        post(SETS, {"surprise": 1}),
        post(SETS + "/{set}/provisioningFlows", json.loads(request_body("administrative_unit"))),
        post(SETS + "/{set}/provisioningFlows/{flow}/reset", None),
        post("/external/industryData/roleGroups", {"displayName": "x", "roles": [{"code": "no"}]}),
    ],
    ids=lambda each: f"{each['method']} {each['url']}",
)
async def test_an_answer_is_the_same_as_to_the_request_alone(
    service: Api, request_: dict[str, Any]
) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    url = request_["url"].replace("{set}", flow.set_id).replace("{flow}", flow.id)
    body = request_.get("body")
    headers = request_.get("headers", {})
    if request_["method"] == "PATCH":
        headers = {"Content-Type": "application/json"}
    [inside] = await answers(service, {**request_, "url": url, "headers": headers})
    if "/reset" in url:
        await flow.until_status("ready")
    alone = await service.send(
        request_["method"],
        service.root + url,
        None if body is None else json.dumps(body).encode(),
        **{name.replace("-", "_"): value for name, value in headers.items()},
    )
    assert inside["status"] == alone.status

    def steady(text: str) -> str:
        return VOLATILE.sub(r'"\1": ""', text)

    if isinstance(inside.get("body"), dict):
        # A link leads to where the list is; that is the request's own address in both.
        assert steady(json.dumps(inside["body"])) == steady(json.dumps(alone.json()))
    elif "body" in inside:
        text = inside["body"]
        if inside["headers"]["Content-Type"].startswith("application/xml"):
            text = base64.b64decode(text).decode()
        assert text == alone.text
    else:
        assert alone.text == ""
    own = {"request-id", "client-request-id"}
    for name, value in inside["headers"].items():
        if name.lower() not in own:
            assert alone.headers[name].partition(";")[0] == value.partition(";")[0]
    assert own <= {name.lower() for name in inside["headers"]}
