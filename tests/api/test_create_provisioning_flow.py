"""Create provisioningFlow over HTTP on the running stack, until the queue has made it ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.config import HOST
from tests.support import wire
from tests.support.api import CONTENT_TYPE, DATE_TIME, GUID, UNKNOWN, Api, Flow, assert_envelope
from tests.support.bodies import NAMES, PAYLOADS, request_body

PUBLISHED_SET = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"


def in_order(text: str) -> Any:
    """JSON as nested tuples: two are equal only with the same members in the same order."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", *pairs))


# --- the published answers ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_each_published_body_gets_exactly_its_published_answer(
    service: Api, set_id: str, name: str
) -> None:
    answer = await service.create(set_id, name)
    assert answer.status == 201
    printed = answer.json()
    assert GUID.fullmatch(printed["id"])
    assert DATE_TIME.fullmatch(printed["createdDateTime"])
    published = (PAYLOADS / f"{name}.response.json").read_text("utf-8")
    for member in ("id", "createdDateTime", "lastModifiedDateTime"):
        published = published.replace(json.loads(published)[member], printed[member])
    assert in_order(answer.text) == in_order(published.replace(PUBLISHED_SET, set_id))


@pytest.mark.parametrize("name", NAMES)
async def test_each_published_flow_becomes_ready(service: Api, name: str) -> None:
    flow = await service.new_flow(name)
    await flow.until_status("ready")


async def test_readiness_changes_nothing_else_of_a_flow(service: Api, set_id: str) -> None:
    created = await service.create(set_id, "class_group")
    flow = Flow(service, set_id, created.json()["id"], "classGroupProvisioningFlow")
    await flow.until_status("ready")
    read = await service.send("GET", flow.url)
    assert in_order(read.text) == in_order(created.text.replace('"notReady"', '"ready"'))


async def test_a_new_flow_was_created_and_last_modified_at_the_same_time_just_now(
    service: Api, set_id: str
) -> None:
    before = datetime.now(UTC) - timedelta(microseconds=1)
    flow = (await service.create(set_id)).json()
    assert flow["createdDateTime"] == flow["lastModifiedDateTime"]
    assert before <= datetime.fromisoformat(flow["createdDateTime"]) <= datetime.now(UTC)


async def test_location_is_where_the_flow_is_read(service: Api, set_id: str) -> None:
    created = await service.create(set_id)
    read = await service.send("GET", created.headers["Location"])
    assert (read.status, read.json()["id"]) == (200, created.json()["id"])


@pytest.mark.parametrize(
    "casing", [str.lower, str.upper, str.swapcase], ids=["lower", "upper", "swapped"]
)
async def test_paths_match_in_any_case(
    service: Api, set_id: str, casing: Callable[[str], str]
) -> None:
    origin, _, path = service.flows(set_id).partition("/beta/")
    url = f"{origin}{casing(f'/beta/{path}')}"
    created = await service.send("POST", url, request_body("security_group"))
    assert created.status == 201
    assert f"outboundProvisioningFlowSets('{set_id}')" in created.json()["@odata.context"]
    read = await service.send("GET", f"{url}/{created.json()['id'].upper()}")
    assert read.status == 200


# --- get and list ------------------------------------------------------------------------------


def assert_role_groups_are_inline(service: Api, set_id: str, flow: dict[str, Any]) -> None:
    """Both configurations of the published user flow name their group, behind one context."""
    configurations = flow["creationOptions"]["configurations"]
    context = (
        "https://graph.microsoft.com/beta/$metadata#external/industryData/"
        f"outboundProvisioningFlowSets('{set_id}')/provisioningFlows('{flow['id']}')/"
        "microsoft.graph.industryData.userProvisioningFlow/creationOptions/configurations/"
        "roleGroup/$entity"
    )
    for entry, group in zip(configurations, ("staff", "students"), strict=True):
        assert list(entry) == [
            "licenseSkus",
            "defaultPasswordSettings",
            "roleGroup@odata.context",
            "roleGroup",
        ]
        assert entry["roleGroup@odata.context"] == context
        assert list(entry["roleGroup"]) == ["id", "displayName", "roles"]
        assert entry["roleGroup"]["id"] == group
        assert entry["defaultPasswordSettings"]["password"] == "***************"
    students = configurations[1]["roleGroup"]
    assert students == {"id": "students", "displayName": "Students", "roles": [{"code": "student"}]}
    assert len(configurations[0]["roleGroup"]["roles"]) == 29


async def test_a_read_user_flow_has_its_role_groups_inline(service: Api) -> None:
    flow = await service.new_flow("user")
    read = await service.send("GET", flow.url)
    assert read.headers["Content-Type"] == CONTENT_TYPE
    assert_role_groups_are_inline(service, flow.set_id, read.json())


async def test_all_four_flows_are_listed_by_id_as_they_are_read(service: Api, set_id: str) -> None:
    created = [await service.create(set_id, name) for name in NAMES]
    for answer in created:
        body = answer.json()
        await Flow(service, set_id, body["id"], body["@odata.type"]).until_status("ready")
    listed = await service.send("GET", service.flows(set_id))
    assert listed.status == 200
    body = listed.json()
    assert list(body) == ["@odata.context", "value"]
    assert body["@odata.context"] == (
        "https://graph.microsoft.com/beta/$metadata#external/industryData/"
        f"outboundProvisioningFlowSets('{set_id}')/provisioningFlows"
    )
    ids = [flow["id"] for flow in body["value"]]
    assert ids == sorted(answer.json()["id"] for answer in created)
    for flow in body["value"]:
        read = (await service.send("GET", f"{service.flows(set_id)}/{flow['id']}")).json()
        del read["@odata.context"]
        assert json.dumps(flow) == json.dumps(read)
    [user] = [
        flow for flow in body["value"] if flow["@odata.type"].endswith(".userProvisioningFlow")
    ]
    assert_role_groups_are_inline(service, set_id, user)


async def test_a_set_without_flows_lists_none(service: Api, set_id: str) -> None:
    listed = await service.send("GET", service.flows(set_id))
    assert (listed.status, listed.json()["value"]) == (200, [])


async def test_a_set_is_read_as_it_was_created(service: Api) -> None:
    body = {
        "displayName": "Grundschulen Süd",
        "filter": {
            "@odata.type": "#microsoft.graph.industryData.basicFilter",
            "attribute": "orgExternalId",
            "in": ["20", "10"],
        },
    }
    created = await service.send("POST", service.sets, json.dumps(body).encode())
    assert created.status == 201
    assert list(created.json())[-2:] == ["displayName", "filter"]
    assert json.dumps(created.json()["filter"]) == json.dumps(body["filter"])
    read = await service.send("GET", created.headers["Location"])
    assert (read.status, read.text) == (200, created.text)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [UNKNOWN, "not-a-guid", "1", f"{UNKNOWN}0", "'"])
async def test_a_set_that_does_not_exist_is_not_found(service: Api, key: str) -> None:
    for answer in (
        await service.send("GET", f"{service.sets}/{key}"),
        await service.send("GET", service.flows(key)),
        await service.create(key),
    ):
        assert key in assert_envelope(answer, 404, "Request_ResourceNotFound")["message"]


@pytest.mark.parametrize("key", [UNKNOWN, "not-a-guid"])
async def test_a_flow_that_does_not_exist_is_not_found(service: Api, set_id: str, key: str) -> None:
    answer = await service.send("GET", f"{service.flows(set_id)}/{key}")
    assert key in assert_envelope(answer, 404, "Request_ResourceNotFound")["message"]


async def test_a_flow_is_found_in_its_own_set_only(service: Api, set_id: str) -> None:
    flow = await service.new_flow()
    answer = await service.send("GET", f"{service.flows(set_id)}/{flow.id}")
    assert_envelope(answer, 404, "Request_ResourceNotFound")


@pytest.mark.parametrize("name", NAMES)
async def test_a_second_flow_of_a_kind_is_a_conflict_and_changes_nothing(
    service: Api, name: str
) -> None:
    flow = await service.new_flow(name)
    answer = await service.create(flow.set_id, name)
    assert flow.kind in assert_envelope(answer, 409, "Conflict")["message"]
    listed = (await service.send("GET", service.flows(flow.set_id))).json()["value"]
    assert [one["id"] for one in listed] == [flow.id]


async def test_every_fault_of_a_body_is_listed_with_its_path(service: Api, set_id: str) -> None:
    body = b"""{
        "@odata.type": "#microsoft.graph.industryData.userProvisioningFlow",
        "surprise": 1,
        "createUnmatchedUsers": true,
        "CREATEUNMATCHEDUSERS": true,
        "managementOptions": {"additionalOptions": {"studentAgeGroup": "unknownFutureValue"}},
        "creationOptions": {"configurations": [{"licenseSkus": [null]}]}
    }"""
    answer = await service.send("POST", service.flows(set_id), body)
    details = assert_envelope(answer, 400, "BadRequest")["details"]
    assert all(list(detail) == ["code", "message", "target"] for detail in details)
    entry = "$.creationOptions.configurations[0]"
    assert {detail["target"]: detail["code"] for detail in details} == {
        "$.surprise": "UnknownProperty",
        "$.CREATEUNMATCHEDUSERS": "DuplicateProperty",
        "$.managementOptions.additionalOptions.studentAgeGroup": "InvalidValue",
        f"{entry}.licenseSkus[0]": "NullValue",
        f"{entry}['roleGroup@odata.bind']": "MissingProperty",
    }


async def test_the_abstract_type_is_refused_by_name(service: Api, set_id: str) -> None:
    body = b'{"@odata.type": "#microsoft.graph.industryData.provisioningFlow"}'
    answer = await service.send("POST", service.flows(set_id), body)
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == ("AbstractType", "$['@odata.type']")


async def test_a_refused_body_stores_nothing(service: Api, set_id: str) -> None:
    body = json.loads(request_body("user"))
    body["managementOptions"] = None
    answer = await service.send("POST", service.flows(set_id), json.dumps(body).encode())
    assert answer.status == 400
    assert (await service.send("GET", service.flows(set_id))).json()["value"] == []


# --- hostile requests, byte by byte ------------------------------------------------------------

JSON_HEADER = "Content-Type: application/json"
DEEP = 10_000
ADMINISTRATIVE_UNIT = request_body("administrative_unit")

HOSTILE: dict[str, tuple[list[str], bytes, int]] = {
    "a list": ([JSON_HEADER], b"[]", 400),
    "a list of flows": ([JSON_HEADER], b"[" + ADMINISTRATIVE_UNIT + b"]", 400),
    "a number": ([JSON_HEADER], b"7", 400),
    "a string": ([JSON_HEADER], b'"text"', 400),
    "null": ([JSON_HEADER], b"null", 400),
    "an empty object": ([JSON_HEADER], b"{}", 400),
    "nothing": ([JSON_HEADER], b"", 400),
    "white space": ([JSON_HEADER], b" \r\n\t", 400),
    "half an object": ([JSON_HEADER], ADMINISTRATIVE_UNIT[:-20], 400),
    "two objects": ([JSON_HEADER], ADMINISTRATIVE_UNIT * 2, 400),
    "NaN": ([JSON_HEADER], b'{"a": NaN}', 400),
    "an infinity": ([JSON_HEADER], b'{"a": -Infinity}', 400),
    "an overflow": ([JSON_HEADER], b'{"@odata.type": 1e999}', 400),
    "a huge integer": ([JSON_HEADER], b'{"a": ' + b"9" * 100_000 + b"}", 400),
    "deep lists": ([JSON_HEADER], b"[" * DEEP + b"]" * DEEP, 400),
    "deep objects": ([JSON_HEADER], b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
    "almost too deep": (
        [JSON_HEADER],
        ADMINISTRATIVE_UNIT.rstrip()[:-1] + b', "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        400,
    ),
    "a deep type": ([JSON_HEADER], b'{"@odata.type": ' + b"[" * 900 + b"]" * 900 + b"}", 400),
    "ten megabytes": ([JSON_HEADER], b'{"a": "' + b"x" * 10_000_000 + b'"}', 413),
    "ten megabytes of brackets": ([JSON_HEADER], b"[" * 10_000_000, 413),
    "many members": (
        [JSON_HEADER],
        b"{" + b",".join(b'"m%d": 1' % at for at in range(50_000)) + b"}",
        400,
    ),
    "not UTF-8": ([JSON_HEADER], b'{"a": "\xff"}', 400),
    "UTF-16": ([JSON_HEADER], ADMINISTRATIVE_UNIT.decode().encode("utf-16"), 400),
    "UTF-16 that says so": (
        ["Content-Type: application/json; charset=utf-16"],
        ADMINISTRATIVE_UNIT.decode().encode("utf-16"),
        400,
    ),
    "half of a surrogate pair": ([JSON_HEADER], b'{"\\ud800": "\\udfff"}', 400),
    "a null character": ([JSON_HEADER], b'{"a\x00": 1}', 400),
    "an escaped null character": ([JSON_HEADER], b'{"a\\u0000": 1}', 400),
    "a form": (["Content-Type: application/x-www-form-urlencoded"], b"a=1", 400),
    "text": (["Content-Type: text/plain"], ADMINISTRATIVE_UNIT, 400),
    "no content type": ([], ADMINISTRATIVE_UNIT, 400),
    "a content type of nothing": (["Content-Type: "], ADMINISTRATIVE_UNIT, 400),
}


async def exchange(service: Api, request: bytes) -> tuple[int, str]:
    """Send bytes; return the status and the body of what comes back."""
    start, body = wire.split(await wire.exchange(service.port, request))
    return int(start.split()[1]), body.decode()


def head(service: Api, set_id: str, *headers: str) -> bytes:
    """The start of a POST to a set's flows, on a connection that ends with its answer."""
    path = "/beta/" + service.flows(set_id).partition("/beta/")[2]
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers]
    lines += [f"{name}: {value}" for name, value in service.http.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_body_is_refused_and_the_next_request_is_served(
    service: Api, set_id: str, case: str
) -> None:
    headers, body, status = HOSTILE[case]
    length = f"Content-Length: {len(body)}"
    answered, text = await exchange(service, head(service, set_id, *headers, length) + body)
    assert answered == status, text
    assert json.loads(text)["error"]["message"]
    assert (await service.create(set_id)).status == 201


async def test_a_chunked_body_is_refused_in_words(service: Api, set_id: str) -> None:
    # The Functions host passes no body on whose length it does not know.
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ADMINISTRATIVE_UNIT), ADMINISTRATIVE_UNIT)
    start = head(service, set_id, JSON_HEADER, "Transfer-Encoding: chunked")
    answered, text = await exchange(service, start + chunk)
    error = json.loads(text)["error"]
    assert (answered, error["code"]) == (411, "LengthRequired")
    assert "Transfer-Encoding: chunked" in error["message"]
    assert (await service.create(set_id)).status == 201


async def test_a_body_with_a_byte_order_mark_is_read(service: Api, set_id: str) -> None:
    answer = await service.send(
        "POST", service.flows(set_id), b"\xef\xbb\xbf" + ADMINISTRATIVE_UNIT
    )
    assert answer.status == 201


async def test_a_caller_that_hangs_up_in_the_middle_creates_nothing(
    service: Api, set_id: str
) -> None:
    length = f"Content-Length: {len(ADMINISTRATIVE_UNIT)}"
    start = head(service, set_id, JSON_HEADER, length)
    _, writer = await asyncio.open_connection(HOST, service.port)
    writer.write(start + ADMINISTRATIVE_UNIT[:-5])
    await writer.drain()
    writer.transport.abort()
    assert (await service.send("GET", service.flows(set_id))).json()["value"] == []
    assert (await service.create(set_id)).status == 201


# --- concurrency -------------------------------------------------------------------------------


async def test_of_twenty_concurrent_creates_of_one_kind_exactly_one_succeeds(
    service: Api, set_id: str
) -> None:
    answers = await asyncio.gather(*(service.create(set_id, "user") for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    [created] = [answer.json()["id"] for answer in answers if answer.status == 201]
    listed = (await service.send("GET", service.flows(set_id))).json()["value"]
    assert [flow["id"] for flow in listed] == [created]
    await Flow(service, set_id, created, "userProvisioningFlow").until_status("ready")


async def test_the_four_kinds_never_collide(service: Api) -> None:
    for _ in range(3):
        set_id = await service.new_set()
        answers = await asyncio.gather(*(service.create(set_id, name) for name in NAMES))
        assert [answer.status for answer in answers] == [201] * 4
        listed = (await service.send("GET", service.flows(set_id))).json()["value"]
        assert len(listed) == 4


# --- the queue ---------------------------------------------------------------------------------


# --- failures (last, since they stop parts of the stack) ---------------------------------------
