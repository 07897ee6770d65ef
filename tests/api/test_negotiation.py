"""What a request says about the protocol: versions, formats, preferences, empty options."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.support.api import Api, assert_envelope


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*;q=0.8, text/html",
        "application/json;odata.metadata=none;q=0.5",
        "text/plain, application/json",
        "",
    ],
)
async def test_a_caller_that_takes_json_gets_it(service: Api, accept: str) -> None:
    answer = await service.get(service.sets, {"$top": 1}, Accept=accept)
    assert answer.status == 200, answer.text


@pytest.mark.parametrize(
    "accept", ["application/xml", "text/html", "application/json;q=0", "text/*, image/png"]
)
async def test_a_caller_that_takes_no_json_gets_406(service: Api, accept: str) -> None:
    answer = await service.get(service.sets, Accept=accept)
    assert accept in assert_envelope(answer, 406, "NotAcceptable")["message"]


async def test_a_create_that_no_answer_is_taken_of_creates_nothing(service: Api) -> None:
    name = str(uuid.uuid4())
    body = json.dumps({"displayName": name}).encode()
    answer = await service.send("POST", service.sets, body, Accept="application/xml")
    assert_envelope(answer, 406, "NotAcceptable")
    found = await service.get(service.sets, {"$filter": f"displayName eq '{name}'"})
    assert found.json()["value"] == []


async def test_the_metadata_is_taken_as_xml(service: Api) -> None:
    answer = await service.get(f"{service.root}/$metadata", Accept="application/xml")
    assert answer.status == 200, answer.text
    answer = await service.get(f"{service.root}/$metadata", Accept="image/png")
    assert "application/xml" in assert_envelope(answer, 406, "NotAcceptable")["message"]


@pytest.mark.parametrize(
    ("path", "format_", "status"),
    [
        ("$metadata", "xml", 200),
        ("$metadata", "application/xml", 200),
        ("$metadata", "json", 406),
        ("external/industryData/roleGroups/$count", "json", 200),
        ("external/industryData/roleGroups/$count", "text/plain", 200),
        ("external/industryData/roleGroups/$count", "xml", 406),
    ],
)
async def test_a_format_is_the_one_that_is_written(
    service: Api, path: str, format_: str, status: int
) -> None:
    answer = await service.get(f"{service.root}/{path}", {"$format": format_})
    assert answer.status == status, answer.text


@pytest.mark.parametrize("option", ["$format", "format"])
async def test_format_goes_before_accept(service: Api, option: str) -> None:
    set_id = await service.new_set()
    for url in (service.sets, f"{service.sets}/{set_id}"):
        none = await service.get(
            url, {option: "application/json;odata.metadata=none"}, Accept="text/html"
        )
        assert none.status == 200, none.text
        assert "@odata.context" not in none.json()
        assert (await service.get(url, {option: "json"})).status == 200
        assert_envelope(await service.get(url, {option: "atom"}), 406, "NotAcceptable")


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("OData-MaxVersion", "4.0", 200),
        ("OData-MaxVersion", "4.01", 200),
        ("OData-MaxVersion", "5.0", 200),
        ("OData-MaxVersion", "3.0", 400),
        ("OData-MaxVersion", "four", 400),
        ("OData-Version", "4.0", 200),
        ("OData-Version", "4.01", 200),
        ("OData-Version", "4.0;NetFx", 200),
        ("OData-Version", "4.02", 400),
        ("OData-Version", "3.0", 400),
    ],
)
async def test_a_version_that_is_not_spoken_is_refused(
    service: Api, name: str, version: str, status: int
) -> None:
    answer = await service.get(service.sets, {"$top": 1}, **{name: version})
    assert answer.status == status, answer.text
    if status == 400:
        [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
        assert (detail["code"], detail["target"]) == ("UnsupportedVersion", name)


@pytest.mark.parametrize("option", ["$top=", "$filter=", "%24select=", "$count"])
async def test_an_option_without_a_value_is_refused(service: Api, option: str) -> None:
    answer = await service.send("GET", f"{service.sets}?$top=1&{option}")
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert detail["target"] == option.partition("=")[0].replace("%24", "$")


async def test_a_page_has_its_next_link_in_a_header_too(service: Api) -> None:
    for _ in range(2):
        await service.new_set()
    answer = await service.get(service.sets, prefer="odata.maxpagesize=1")
    target, rel = answer.headers["Link"].split(";")
    assert rel.strip() == 'rel="next"'
    following = await service.send("GET", target.strip("<>"))
    assert following.status == 200, following.text
    assert following.json()["value"] != answer.json()["value"]


async def test_a_last_page_has_no_link(service: Api) -> None:
    answer = await service.get(service.sets, {"$filter": f"displayName eq '{uuid.uuid4()}'"})
    assert "Link" not in answer.headers


async def test_unknown_enum_members_are_preferred_beside_other_preferences(service: Api) -> None:
    answer = await service.get(
        service.sets, prefer="include-unknown-enum-members, odata.maxpagesize=1"
    )
    applied = answer.headers["Preference-Applied"].split(", ")
    assert set(applied) == {"include-unknown-enum-members", "odata.maxpagesize=1"}
    refused = await service.get(
        f"{service.sets}/{uuid.uuid4()}", prefer="include-unknown-enum-members"
    )
    assert "Preference-Applied" not in refused.headers
