"""The description of the API: valid, complete, and true of what the service answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from functions.http import operations as registry
from functions.http.errors import STATUSES, UNEXPECTED
from local.config import ROOT
from shared.description.components import COMMON_HEADERS
from tests.host.test_function_app import bindings, load_functions
from tests.support.description import (
    Described,
    answer_faults,
    body,
    description,
    faults,
    operations,
)
from tests.support.waiting import until

PAYLOADS = ROOT / "shared" / "contract" / "examples"
# Pages for people, and the handler that refuses all other requests.
NOT_DESCRIBED = {
    "page_status",
    "page_docs",
    "page_part",
    "page_library",
    "z_any_other_request",
}


def nameless(path: str) -> str:
    """A path without the names of its parameters: those of functions may have no hyphens."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def errors() -> Mapping[str, Any]:
    found = description()["components"]["responses"].items()
    return {name: each for name, each in found if name.startswith("error")}


# --- the document ------------------------------------------------------------------------------


def test_it_is_valid_openapi_3_1() -> None:
    assert description()["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(description()).iter_errors()) == []


def test_it_has_every_operation_of_the_app_and_no_other() -> None:
    served = {
        (method.value.lower(), f"/{binding['route']}")
        for function in load_functions()
        if function.get_function_name() not in NOT_DESCRIBED
        for binding in bindings(function)
        if binding["type"] == "httpTrigger"
        for method in binding["methods"]
    }
    assert {(each.method, nameless(each.path)) for each in operations()} == {
        (method, nameless(path)) for method, path in served
    }


@pytest.mark.parametrize("described", list(operations()), ids=str)
def test_each_operation_says_which_permissions_suffice(described: Described) -> None:
    (registered,) = [
        each
        for each in registry.operations()
        if each.method.lower() == described.method
        and nameless(each.path) == nameless(described.path)
    ]
    asked = {name for one in described.content["security"] for name in one["entra"]}
    needs = registered.needs
    assert asked == (set() if needs is None else {*needs.delegated, *needs.application})
    listed = described.content.get("x-permissions", {})
    assert listed.get("assignedToUser", []) == ([] if needs is None else list(needs.assigned))
    errors = {"401", "403", "429"} & set(described.content["responses"])
    assert errors == (set() if needs is None else {"401", "403", "429"})


@pytest.mark.parametrize("described", list(operations()), ids=str)
def test_each_operation_names_the_parameters_of_its_path(described: Described) -> None:
    parameters = description()["components"]["parameters"]
    named = [
        parameters[each["$ref"].rpartition("/")[2]] for each in described.content["parameters"]
    ]
    in_path = [each["name"] for each in named if each["in"] == "path"]
    assert in_path == re.findall(r"\{([\w-]+)\}", described.path)


def test_every_error_of_the_service_is_described() -> None:
    # A method that a path does not have is no operation, so none of them answers 405.
    answered = {status for status, _ in (*STATUSES.values(), UNEXPECTED)} - {405}
    assert errors().keys() == {f"error{status}" for status in answered}
    for status, code in STATUSES.values():
        if status != 405:
            assert f"`{code}`" in errors()[f"error{status}"]["description"]


def test_every_error_has_the_one_type_whose_message_clients_show() -> None:
    namespace = "microsoft.graph.ODataErrors."
    one = {"$ref": f"#/components/schemas/{namespace}ODataError"}
    for each in errors().values():
        assert each["content"]["application/json"]["schema"] == one
    schemas = description()["components"]["schemas"]
    main = schemas[f"{namespace}ODataError"]["properties"]["error"]
    assert main == {"$ref": f"#/components/schemas/{namespace}MainError"}
    message = schemas[f"{namespace}MainError"]["properties"]["message"]
    assert message["x-ms-primary-error-message"] is True


# --- examples ----------------------------------------------------------------------------------


def examples(node: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every example of the description with its name and its schema."""
    if isinstance(node, dict):
        for name, example in node.get("examples", {}).items():
            yield name, node["schema"], example["value"]
        for inner in node.values():
            yield from examples(inner)


def test_examples_are_what_their_schemas_want() -> None:
    found = list(examples(description()["paths"]))
    assert len(found) > 15
    assert {
        name: faults(schema, value) for name, schema, value in found if faults(schema, value)
    } == {}


# --- the service -------------------------------------------------------------------------------


@dataclass
class Checked:
    """Sends requests and holds each answer against the description."""

    http: aiohttp.ClientSession
    origin: str

    async def send(
        self, method: str, path: str, sent: Any = None, *, valid: bool = True, **headers: str
    ) -> Any:
        """Send a request; return the JSON of the answer, or None."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(
            method, f"{self.origin}{path}", json=sent, headers=named
        ) as response:
            text, status = await response.text(), response.status
            media_type, sent_headers = response.content_type, response.headers.keys()
        operation = self._described(method, urlsplit(path).path)
        if sent is not None and valid:
            wanted = operation["requestBody"]["content"]["application/json"]["schema"]
            assert faults(wanted, sent) == []
        answer = operation["responses"][str(status)]
        if "$ref" in answer:
            answer = description()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        assert set(COMMON_HEADERS) <= answer["headers"].keys() & sent_headers
        if not text:
            assert "content" not in answer
            return None
        schema = answer["content"][media_type]["schema"]
        value = json.loads(text) if media_type != "application/xml" else text
        assert answer_faults(schema, value) == [], f"{method} {path} -> {status}: {text}"
        return value

    @staticmethod
    def _described(method: str, path: str) -> Mapping[str, Any]:
        fits = [
            each
            for each in operations()
            if each.method == method.lower()
            and re.fullmatch(re.escape(nameless(each.path)).replace(r"\{\}", "[^/]+"), path)
        ]
        # A literal segment comes before a parameter.
        return min(fits, key=lambda each: each.path.count("{")).content


@pytest.fixture
def checked(http: aiohttp.ClientSession, api: str) -> Checked:
    return Checked(http, api.removesuffix("/beta"))


@pytest.fixture
async def flow_set(checked: Checked) -> str:
    """The path of a new flow set that has the four published flows."""
    sets = "/beta/external/industryData/outboundProvisioningFlowSets"
    created = await checked.send(
        "POST",
        sets,
        {
            "displayName": "Described",
            "filter": {
                "@odata.type": "#microsoft.graph.industryData.basicFilter",
                "attribute": "orgExternalId",
                "in": ["1"],
            },
        },
    )
    path = f"{sets}/{created['id']}"
    for name in ("user", "class_group", "security_group", "administrative_unit"):
        await checked.send("POST", f"{path}/provisioningFlows", body(name))
    return path


async def whole_overview(checked: Checked) -> dict[str, Any]:
    """The overview once its counts, which are read beside requests, are there; all fit."""
    overview: dict[str, Any] = {}

    async def counted() -> bool:
        overview.update(
            await checked.send("GET", "/status/overview?search=Described&status=ready&top=2")
        )
        return overview["queue"] is not None and overview["deadLetters"] is not None

    await until(counted, "counts of the queue and of dead letters")
    assert overview["queue"]["complete"] is True
    return overview


async def test_answers_to_reads_are_as_described(checked: Checked, flow_set: str) -> None:
    flows = f"{flow_set}/provisioningFlows"
    found = await checked.send("GET", flows)
    assert len(found["value"]) == 4
    for flow in found["value"]:
        await checked.send("GET", f"{flows}/{flow['id']}")
        await checked.send("GET", f"{flows}/{flow['id']}/readinessHistory")
        await checked.send("POST", f"{flows}/{flow['id']}/readPasswords")
    await checked.send("GET", f"{flows}?$select=id,readinessStatus&$top=2&$count=true")
    await checked.send("GET", f"{flows}/$count")
    await checked.send("GET", f"{flow_set}?$expand=provisioningFlows")
    await checked.send("GET", f"{flow_set}?$select=displayName")
    await checked.send("GET", flow_set, Accept="application/json;odata.metadata=full")
    sets = flow_set.rpartition("/")[0]
    await checked.send("GET", f"{sets}?$expand=provisioningFlows($select=id)&$top=2")
    await checked.send("GET", f"{sets}/$count")
    assert (await whole_overview(checked))["deadLetters"]["days"] == 7
    await checked.send("GET", "/status/dead-letters?all=true&day=1999/01/01")
    unknown = "1999/01/01/000000-1.json"
    await checked.send("GET", f"/status/dead-letters/letter?name={unknown}")
    answer = await checked.send("POST", "/status/dead-letters/replay", {"names": [unknown]})
    assert (answer["replayed"], len(answer["refused"])) == (0, 1)
    nothing = {"names": ["1999/01/01/000000-1.json"], "reason": "A test."}
    answer = await checked.send("POST", "/status/dead-letters/discard", nothing)
    assert (answer["discarded"], len(answer["refused"])) == (0, 1)


async def test_answers_to_writes_are_as_described(checked: Checked, flow_set: str) -> None:
    flows = f"{flow_set}/provisioningFlows"
    changes: dict[str, dict[str, Any]] = {
        "userProvisioningFlow": {"createUnmatchedUsers": False, "creationOptions": None},
        "classGroupProvisioningFlow": {"configuration": {"additionalAttributes": None}},
        "securityGroupProvisioningFlow": {"creationOptions": {"createBasedOnRoleGroup": True}},
        "administrativeUnitProvisioningFlow": {"creationOptions": {"createBasedOnOrg": True}},
    }
    for flow in (await checked.send("GET", flows))["value"]:
        change = changes[flow["@odata.type"].rpartition(".")[2]]
        path = f"{flows}/{flow['id']}"
        await checked.send("PATCH", path, change)
        assert await checked.send("PATCH", path, change, Prefer="return=representation")
        await checked.send("POST", f"{path}/reset")
        await checked.send("POST", f"{path}/microsoft.graph.industryData.reset")
        await checked.send("DELETE", path)
    await checked.send("POST", flows, body("user"), Prefer="return=minimal")
    await checked.send("PATCH", flow_set, {"displayName": "New", "filter": None})
    await checked.send("DELETE", flow_set)


async def test_answers_about_reference_data_are_as_described(checked: Checked) -> None:
    root = "/beta/external/industryData"
    group = await checked.send(
        "POST", f"{root}/roleGroups", {"displayName": "Aides", "roles": [{"code": "aide"}]}
    )
    path = f"{root}/roleGroups/{group['id']}"
    await checked.send("PATCH", path, {"displayName": "All aides"}, Prefer="return=representation")
    await checked.send("GET", path)
    await checked.send("DELETE", path)
    await checked.send("GET", f"{root}/roleGroups?$count=true")
    await checked.send("GET", f"{root}/roleGroups/$count")
    definition = {
        "referenceType": "RefOrgType",
        "code": "described",
        "isDisabled": False,
        "sortIndex": 90001,
    }
    await checked.send("POST", f"{root}/referenceDefinitions", definition)
    path = f"{root}/referenceDefinitions/RefOrgType-described"
    await checked.send("PATCH", path, {"sortIndex": 90002}, Prefer="return=representation")
    await checked.send("GET", path)
    await checked.send("DELETE", path)
    await checked.send("GET", f"{root}/referenceDefinitions?$top=100")
    await checked.send("GET", f"{root}/referenceDefinitions/$count")


async def test_errors_are_as_described(checked: Checked, flow_set: str) -> None:
    flows = f"{flow_set}/provisioningFlows"
    unknown = "00000000-0000-0000-0000-000000000000"
    refused = await checked.send("POST", flows, {"@odata.type": "x"}, valid=False)
    assert refused["error"]["details"]
    await checked.send("POST", flows, body("user"))  # the second of its kind
    await checked.send("GET", f"{flows}/{unknown}")
    await checked.send("GET", flows, Authorization="Bearer nonsense")
    await checked.send("DELETE", flow_set, If_Match='W/"another"')
    await checked.send("PATCH", f"{flow_set}", {"displayName": "x" * 300_000}, valid=False)


async def test_answers_about_the_service_are_as_described(checked: Checked) -> None:
    for path in ("/health", "/openapi.json", "/beta", "/beta/$metadata"):
        assert await checked.send("GET", path)
    await checked.send("GET", "/beta/external/industryData")
    batch = {"requests": [{"id": "1", "method": "GET", "url": "/external/industryData"}]}
    answer = await checked.send("POST", "/beta/$batch", batch)
    assert answer["responses"][0]["status"] == 200


async def test_it_is_served_to_anyone_and_once_to_each(api: str) -> None:
    url = f"{api.removesuffix('/beta')}/openapi.json"
    async with aiohttp.ClientSession() as anybody:
        async with anybody.get(url) as response:
            assert response.status == 200
            assert await response.json() == description()
            tag = response.headers["ETag"]
        async with anybody.get(url, headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")
