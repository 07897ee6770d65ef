"""Headers of answers as Graph sends them: compression, addresses, ids, empty bodies."""

from __future__ import annotations

import gzip
import itertools
import json
import uuid
from typing import Any

import pytest

from functions.http.compression import LEAST_BYTES, takes_gzip
from tests.support.api import CONTENT_TYPE, UNKNOWN, Api
from tests.support.wire import exchange, split


async def raw(service: Api, token: str, path: str, accept: str) -> tuple[dict[str, str], bytes]:
    """The headers, names in lower case, and the body as it came on the wire."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\nAccept-Encoding: {accept}\r\n\r\n"
    )
    head, body = split(await exchange(service.port, request.encode()))
    lines = [line.partition(":") for line in head.decode().split("\r\n")[1:]]
    return {name.lower(): value.strip() for name, _, value in lines}, body


LONG = "/beta/external/industryData/referenceDefinitions"


@pytest.mark.parametrize("path", [LONG, f"{LONG}?$orderby=id", "/beta/$metadata", f"{LONG}/"])
async def test_a_long_answer_is_gzip_for_who_takes_it(service: Api, token: str, path: str) -> None:
    plain_headers, plain = await raw(service, token, path, "identity")
    headers, packed = await raw(service, token, path, "deflate, gzip;q=0.5")
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert headers["content-type"] == plain_headers["content-type"]
    assert gzip.decompress(packed) == plain
    assert LEAST_BYTES < len(plain) > 4 * len(packed)
    assert "content-encoding" not in plain_headers
    assert plain_headers["vary"] == "Accept-Encoding"


async def test_a_short_answer_stays_as_it_is(service: Api, token: str) -> None:
    headers, body = await raw(service, token, f"{LONG}/RefRole-chair", "gzip")
    assert "content-encoding" not in headers
    assert json.loads(body)["code"] == "chair"


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP ; q=0.2", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
        ("," * 5000 + "gzip", False),
    ],
)
def test_gzip_is_taken_where_it_is_named_and_not_refused(accept: str, taken: bool) -> None:
    assert takes_gzip(accept) is taken


async def test_a_part_of_a_batch_is_not_compressed_by_itself(service: Api) -> None:
    part: dict[str, Any] = {"id": "1", "method": "GET", "headers": {"Accept-Encoding": "gzip"}}
    part["url"] = "/external/industryData/referenceDefinitions"
    answer = await service.post(f"{service.root}/$batch", {"requests": [part]})
    [inside] = answer.json()["responses"]
    assert inside["body"]["value"]
    assert "Content-Encoding" not in inside["headers"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 400, 404, 405, 412])
async def test_every_answer_has_graphs_headers(service: Api, status: int) -> None:
    mine = str(uuid.uuid4())
    flow = await service.new_flow()
    new_set = b'{"displayName": "x"}'
    method, url, body, condition = {
        200: ("GET", flow.url, None, "*"),
        201: ("POST", service.sets, new_set, "*"),
        202: ("POST", f"{flow.url}/reset", None, "*"),
        204: ("PATCH", flow.url, b"{}", "*"),
        400: ("POST", service.sets, b"{}", "*"),
        404: ("GET", service.set(UNKNOWN), None, "*"),
        405: ("PUT", flow.url, None, "*"),
        412: ("PATCH", flow.url, b"{}", '"old"'),
    }[status]
    received = await service.send(method, url, body, client_request_id=mine, If_Match=condition)
    assert received.status == status
    assert received.headers["OData-Version"] == "4.0"
    assert received.headers["client-request-id"] == mine
    assert str(uuid.UUID(received.headers["request-id"])) != mine
    assert received.headers["Date"].endswith("GMT")
    assert "max-age" in received.headers["Strict-Transport-Security"]
    assert received.headers["Cache-Control"] == "no-store"
    assert ("Location" in received.headers) == (status == 201)
    info = json.loads(received.headers["x-ms-ags-diagnostic"])["ServerInfo"]
    assert list(info) == ["DataCenter", "Slice", "Ring", "ScaleUnit", "RoleInstance"]
    assert all(info.values())
    other = await service.get(f"{service.root}/nothing")
    assert other.headers["x-ms-ags-diagnostic"] == received.headers["x-ms-ags-diagnostic"]
    if status in (202, 204):
        assert received.text == ""
        assert "Content-Type" not in received.headers
    elif status < 300:
        assert received.headers["Content-Type"] == CONTENT_TYPE


@pytest.mark.parametrize("given", ["", "two words", "é", "x" * 129])
async def test_an_id_that_cannot_be_echoed_is_replaced(service: Api, given: str) -> None:
    answer = await service.get(service.sets, {"$top": 0}, client_request_id=given)
    assert answer.headers["client-request-id"] == answer.headers["request-id"]


async def test_a_location_has_names_in_their_declared_case(service: Api) -> None:
    body = json.dumps({"displayName": "Case"}).encode()
    created = await service.send("POST", service.documented.upper().replace("HTTP", "http"), body)
    set_id = created.json()["id"]
    assert created.headers["Location"] == service.set(set_id)
    flow = await service.create(set_id)
    location = f"{service.set(set_id)}/provisioningFlows/{flow.json()['id']}"
    assert flow.headers["Location"] == location
    assert (await service.get(location)).status == 200
    definition = {"referenceType": "RefRace", "code": f"x{set_id}", "sortIndex": 5_000_001}
    url = service.definitions.replace("referenceDefinitions", "REFERENCEDEFINITIONS")
    made = await service.post(url, {**definition, "isDisabled": False}, Prefer="return=minimal")
    assert made.headers["Location"] == f"{service.definitions}/RefRace-x{set_id}"
    assert made.headers["OData-EntityId"] == made.headers["Location"]


async def test_references_count_in_a_batch_whose_root_is_in_capitals(service: Api) -> None:
    parts = [
        {
            "id": "1",
            "method": "POST",
            "url": "/external/industryData/outboundProvisioningFlowSets",
            "headers": {"Content-Type": "application/json"},
            "body": {"displayName": "Case"},
        },
        {"id": "2", "method": "GET", "url": "/$1", "dependsOn": ["1"]},
    ]
    url = service.root.replace("/beta", "/BETA")
    answer = await service.post(f"{url}/$batch", {"requests": parts})
    assert [each["status"] for each in answer.json()["responses"]] == [201, 200]


async def test_flows_that_are_created_one_after_the_other_have_consecutive_ids(
    service: Api, set_id: str
) -> None:
    def number(entity_id: str) -> int:
        *_, low, high = entity_id.split("-")
        return (int(high, 16) << 16) + int(low, 16)

    ids = []
    for name in ("class_group", "security_group", "administrative_unit"):
        ids.append((await service.create(set_id, name)).json()["id"])
        await service.get(service.sets)
    steps = [number(two) - number(one) for one, two in itertools.pairwise(ids)]
    assert steps == [1, 1]
