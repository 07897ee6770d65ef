"""What is beside the sets and flows: batches, $metadata, headers, refusals, and the catalog."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import function_app
from functions.http.operations import ROUTES
from shared.domain.catalog import EXTENSIBLE_TYPES
from tests.support.api import (
    CONTENT_TYPE,
    DATE_TIME,
    GUID,
    UNKNOWN,
    Answer,
    Api,
    Flow,
    assert_envelope,
    request_body,
    sort_index,
)

CONTEXT = "https://graph.microsoft.com/beta/$metadata"
NAMESPACE = "microsoft.graph.industryData"

# --- $batch ------------------------------------------------------------------------------------


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


SETS = "/external/industryData/outboundProvisioningFlowSets"


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
        ([{"method": "POST", "url": "$BATCH"}], "$.requests[0].url"),
        ([{"method": "GET", "url": "https://example.org/x"}], "$.requests[0].url"),
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
    assert error["details"][0]["target"] == target


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


# --- $metadata ---------------------------------------------------------------------------------

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
# Entity or complex type, its base, and its members: a ? behind those that may be null.
TYPES = """
outboundProvisioningFlowSet : entity
    createdDateTime Edm.DateTimeOffset? lastModifiedDateTime Edm.DateTimeOffset?
    displayName Edm.String filter filter? provisioningFlows provisioningFlow[]
provisioningFlow : entity
    createdDateTime Edm.DateTimeOffset? lastModifiedDateTime Edm.DateTimeOffset?
    readinessStatus readinessStatus?
administrativeUnitProvisioningFlow : provisioningFlow
    creationOptions adminUnitCreationOptions
classGroupProvisioningFlow : provisioningFlow
    configuration classGroupConfiguration
securityGroupProvisioningFlow : provisioningFlow
    creationOptions securityGroupCreationOptions
userProvisioningFlow : provisioningFlow
    createUnmatchedUsers Edm.Boolean? managementOptions userManagementOptions
    creationOptions userCreationOptions?
adminUnitCreationOptions
    createBasedOnOrg Edm.Boolean createBasedOnOrgPlusRoleGroup Edm.Boolean
securityGroupCreationOptions
    createBasedOnRoleGroup Edm.Boolean createBasedOnOrgPlusRoleGroup Edm.Boolean
classGroupConfiguration
    additionalAttributes additionalClassGroupAttributes[]
    additionalOptions additionalClassGroupOptions enrollmentMappings enrollmentMappings
additionalClassGroupOptions
    createTeam Edm.Boolean writeDisplayNameOnCreateOnly Edm.Boolean
enrollmentMappings
    ownerEnrollmentMappings sectionRoleReferenceValue[]
    memberEnrollmentMappings sectionRoleReferenceValue[]
userManagementOptions
    additionalAttributes additionalUserAttributes[] additionalOptions additionalUserOptions
additionalUserOptions
    markAllStudentsAsMinors Edm.Boolean? allowStudentContactAssociation Edm.Boolean?
    studentAgeGroup studentAgeGroup?
userCreationOptions
    configurations userConfiguration[]
userConfiguration
    licenseSkus Edm.String[] defaultPasswordSettings passwordSettings? roleGroup roleGroup
passwordSettings
simplePasswordSettings : passwordSettings
    password Edm.String
filter
basicFilter : filter
    attribute filterOptions in Edm.String[]
referenceValue
    code Edm.String? value referenceDefinition
sectionRoleReferenceValue : referenceValue
roleReferenceValue : referenceValue
roleGroup : entity
    displayName Edm.String roles roleReferenceValue[]
referenceDefinition : entity
    referenceType Edm.String displayName Edm.String? code Edm.String source Edm.String
    isDisabled Edm.Boolean sortIndex Edm.Int32
    createdDateTime Edm.DateTimeOffset lastModifiedDateTime Edm.DateTimeOffset
industryDataRoot : entity
    outboundProvisioningFlowSets outboundProvisioningFlowSet[]
    referenceDefinitions referenceDefinition[] roleGroups roleGroup[]
"""
ENUMS = {
    "readinessStatus": "notReady ready failed disabled expired unknownFutureValue",
    "filterOptions": "orgExternalId unknownFutureValue",
    "additionalClassGroupAttributes": (
        "courseTitle courseCode courseSubject courseGradeLevel courseExternalId "
        "academicSessionTitle academicSessionExternalId classCode unknownFutureValue"
    ),
    "additionalUserAttributes": "userGradeLevel userNumber unknownFutureValue",
    "studentAgeGroup": "minor notAdult adult unknownFutureValue",
}


@pytest.fixture(scope="module")
async def csdl(service: Api) -> ET.Element:
    """The document, read without a permission."""
    answer = await service.send("GET", f"{service.root}/$metadata")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/xml")
    return ET.fromstring(answer.text)  # noqa: S314 - the service's own


def schema(csdl: ET.Element, namespace: str = NAMESPACE) -> ET.Element:
    """The schema of a namespace."""
    [found] = [each for each in csdl.iter(f"{EDM}Schema") if each.get("Namespace") == namespace]
    return found


def short(name: str) -> str:
    """A type as the table above names it."""
    bare = re.sub(r"^Collection\((.*)\)$", r"\1[]", name)
    return bare.removeprefix(f"{NAMESPACE}.").removeprefix("microsoft.graph.")


def described(element: ET.Element) -> tuple[str | None, dict[str, str]]:
    """A type's base and members, as the table above has them."""
    members = {}
    for each in element:
        if each.tag in (f"{EDM}Property", f"{EDM}NavigationProperty"):
            found = short(each.attrib["Type"])
            nullable = each.get("Nullable", "true") == "true" and not found.endswith("[]")
            members[each.attrib["Name"]] = found + "?" * nullable
    base = element.get("BaseType")
    return base and short(base), members


def table() -> dict[str, tuple[str | None, dict[str, str]]]:
    """The types above, by name."""
    types: dict[str, tuple[str | None, dict[str, str]]] = {}
    for line in TYPES.strip().splitlines():
        words = line.split()
        if line[0] != " ":
            members: dict[str, str] = {}
            types[words[0]] = (words[2] if len(words) > 1 else None, members)
        else:
            members.update(zip(words[::2], words[1::2], strict=True))
    return types


@pytest.mark.parametrize("name", table())
async def test_metadata_describes_each_type(csdl: ET.Element, name: str) -> None:
    [element] = [
        each
        for each in schema(csdl)
        if each.get("Name") == name and each.tag in (f"{EDM}EntityType", f"{EDM}ComplexType")
    ]
    base, members = table()[name]
    assert described(element) == (base, members)


async def test_metadata_has_no_other_types(csdl: ET.Element) -> None:
    found = [each.get("Name") for each in schema(csdl) if each.tag.endswith("Type")]
    assert sorted(map(str, found)) == sorted([*table(), *ENUMS])


@pytest.mark.parametrize("name", ENUMS)
async def test_metadata_describes_each_enum(csdl: ET.Element, name: str) -> None:
    [element] = [each for each in schema(csdl).iter(f"{EDM}EnumType") if each.get("Name") == name]
    assert " ".join(each.attrib["Name"] for each in element) == ENUMS[name]
    assert [each.get("Value") for each in element] == [str(n) for n in range(len(element))]


async def test_metadata_declares_every_type_that_it_names(csdl: ET.Element) -> None:
    assert csdl.get("Version") == "4.0"
    declared = {
        f"{each.get('Namespace')}.{one.get('Name')}"
        for each in csdl.iter(f"{EDM}Schema")
        for one in each
    }
    named = {
        re.sub(r"^Collection\((.*)\)$", r"\1", element.attrib[attribute])
        for element in csdl.iter()
        for attribute in ("Type", "BaseType", "ReturnType", "EntityType")
        if attribute in element.attrib
    }
    assert {name for name in named if not name.startswith("Edm.")} <= declared
    primitive = {name for name in named if name.startswith("Edm.")}
    assert primitive == {"Edm.String", "Edm.Boolean", "Edm.Int32", "Edm.DateTimeOffset"}


async def test_abstract_types_say_so(csdl: ET.Element) -> None:
    abstract = {
        str(each.get("Name")) for each in schema(csdl) if each.get("Abstract", "false") == "true"
    }
    assert abstract == {"provisioningFlow", "filter", "passwordSettings", "referenceValue"}


async def test_reset_is_an_action_bound_to_a_flow(csdl: ET.Element) -> None:
    [action] = schema(csdl).iter(f"{EDM}Action")
    assert (action.get("Name"), action.get("IsBound")) == ("reset", "true")
    assert [each.get("Type") for each in action] == [f"{NAMESPACE}.provisioningFlow"]


async def test_the_service_document_and_the_root(service: Api) -> None:
    for url in (service.root, f"{service.root}/"):
        assert (await service.get(url)).json() == {
            "@odata.context": CONTEXT,
            "value": [{"name": "external", "kind": "Singleton", "url": "external"}],
        }
    assert (await service.get(service.industry_data)).json() == {
        "@odata.context": f"{CONTEXT}#external/industryData/$entity",
        "id": "industryData",
    }


# --- methods, paths and headers ----------------------------------------------------------------

assert function_app.app  # the handlers are imported, and so in ROUTES
KEYS = {
    "{set_id}": UNKNOWN,
    "{flow_id}": UNKNOWN,
    "{group_id}": "staff",
    "{definition_id}": "RefRole-chair",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def offered(path: tuple[str, ...]) -> set[str]:
    """The methods of all operations that a path may mean: $count has the form of a key."""

    def fits(template: tuple[str, ...]) -> bool:
        return len(template) == len(path) and all(
            own == given or own.startswith("{") for own, given in zip(template, path, strict=True)
        )

    return {each.method for each in ROUTES if fits(each.segments)}


def allowed(path: tuple[str, ...]) -> set[str]:
    """The methods of exactly this path."""
    methods = {each.method for each in ROUTES if each.segments == path}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


PATHS = sorted({each.segments for each in ROUTES})


@pytest.mark.parametrize("path", PATHS, ids="/".join)
async def test_a_method_that_is_not_offered_is_405_and_says_which_are(
    service: Api, path: tuple[str, ...]
) -> None:
    url = "/".join([service.root.removesuffix("/beta"), *(KEYS.get(each, each) for each in path)])
    others = [method for method in METHODS if method not in offered(path)]
    assert others
    for method in others:
        answer = await service.send(method, url, b"{}")
        error = assert_envelope(answer, 405, "Request_MethodNotAllowed")
        assert method in error["message"]
        assert set(answer.headers["Allow"].split(", ")) == allowed(path)


@pytest.mark.parametrize("path", PATHS, ids="/".join)
async def test_head_and_options_are_answered_wherever_a_path_leads(
    service: Api, path: tuple[str, ...]
) -> None:
    url = "/".join([service.root.removesuffix("/beta"), *(KEYS.get(each, each) for each in path)])
    options = await service.send("OPTIONS", url)
    assert (options.status, options.text) == (204, "")
    assert set(options.headers["Allow"].split(", ")) == allowed(path)
    if "GET" in allowed(path):
        whole, head = await service.get(url), await service.send("HEAD", url)
        assert (head.status, head.text) == (whole.status, "")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("/beta/nothing", "nothing"),
        ("/beta/external/industryData/runs", "runs"),
        (f"/beta{SETS}/{UNKNOWN}/surprise", "surprise"),
        (f"/beta{SETS}/{UNKNOWN}/provisioningFlows/{UNKNOWN}/surprise", "surprise"),
        (f"/beta{SETS}/{UNKNOWN}/provisioningFlows/{UNKNOWN}/reset/more", "more"),
        ("/v1.0/external/industryData", "v1.0"),
    ],
)
async def test_an_unknown_path_is_400_as_at_graphs_gateway(
    service: Api, path: str, segment: str
) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await service.send(method, service.root.removesuffix("/beta") + path)
        assert f"'{segment}'" in assert_envelope(answer, 400, "BadRequest")["message"]


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
    if status in (202, 204):
        assert received.text == ""
    elif status < 300:
        assert received.headers["Content-Type"] == CONTENT_TYPE


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
async def test_an_id_that_cannot_be_echoed_is_replaced(service: Api, given: str) -> None:
    answer = await service.get(service.sets, {"$top": 0}, client_request_id=given)
    assert answer.headers["client-request-id"] == answer.headers["request-id"]


# --- role groups -------------------------------------------------------------------------------


async def test_a_role_group_keeps_each_role_once_in_alphabetical_order(service: Api) -> None:
    body = {
        "@odata.type": f"#{NAMESPACE}.roleGroup",
        "displayName": "Helpers",
        "roles": [{"code": code} for code in ("TEACHER", "nurse", "teacher", "chair")],
    }
    created = await service.post(service.groups, body)
    assert created.status == 201
    printed = created.json()
    assert GUID.fullmatch(printed["id"])
    assert list(printed) == ["@odata.context", "id", "displayName", "roles"]
    assert printed["roles"] == [{"code": "chair"}, {"code": "nurse"}, {"code": "teacher"}]
    assert (await service.get(created.headers["Location"])).text == created.text
    answer = await service.patch(created.headers["Location"], {"displayName": "Others"})
    assert answer.status == 204
    assert (await service.get(created.headers["Location"])).json() == {
        **printed,
        "displayName": "Others",
    }


def user_flow(bind: str) -> Any:
    """A body of a user flow with one configuration."""
    body = json.loads(request_body("user"))
    entry = {**body["creationOptions"]["configurations"][0], "roleGroup@odata.bind": bind}
    body["creationOptions"] = {"configurations": [entry]}
    return body


@pytest.mark.parametrize(
    "form",
    [
        "https://graph.microsoft.com/beta/external/industryData/roleGroups/{}",
        "https://graph.microsoft.com/beta/external/industryData/roleGroups('{}')",
        "external/industryData/roleGroups/{}",
        "external/industryData/roleGroups('{}')",
        "{root}/external/industryData/roleGroups/{}",
    ],
)
async def test_a_created_group_is_bound_in_every_form_and_inlined_on_reads(
    service: Api, form: str
) -> None:
    group = await service.new_role_group("nurse")
    set_id = await service.new_set()
    bind = form.format(group, root=service.root)
    created = await service.post(service.flows(set_id), user_flow(bind))
    assert created.status == 201, created.text
    [entry] = created.json()["creationOptions"]["configurations"]
    assert list(entry) == ["licenseSkus", "defaultPasswordSettings"]
    read = (await service.get(created.headers["Location"])).json()
    [entry] = read["creationOptions"]["configurations"]
    assert entry["roleGroup@odata.context"].endswith(
        "/creationOptions/configurations/roleGroup/$entity"
    )
    assert entry["roleGroup"] == {
        "id": group,
        "displayName": "Helpers",
        "roles": [{"code": "nurse"}],
    }
    await Flow(service, set_id, read["id"], "userProvisioningFlow").until_status("ready")


async def test_an_unknown_group_is_named(service: Api, set_id: str) -> None:
    bind = f"external/industryData/roleGroups/{UNKNOWN}"
    answer = await service.post(service.flows(set_id), user_flow(bind))
    error = assert_envelope(answer, 400, "BadRequest")
    assert UNKNOWN in error["message"]
    assert error["details"][0]["target"].endswith("['roleGroup@odata.bind']")


async def test_a_changed_group_is_printed_as_it_is_and_a_deleted_one_fails_the_flow(
    service: Api, set_id: str
) -> None:
    group = await service.new_role_group("nurse")
    bind = f"external/industryData/roleGroups/{group}"
    created = await service.post(service.flows(set_id), user_flow(bind))
    flow = Flow(service, set_id, created.json()["id"], "userProvisioningFlow")
    await flow.until_status("ready")

    async def inline() -> Any:
        return (await flow.read())["creationOptions"]["configurations"][0]["roleGroup"]

    answer = await service.patch(f"{service.groups}/{group}", {"roles": [{"code": "chair"}]})
    assert answer.status == 204
    assert (await inline())["roles"] == [{"code": "chair"}]
    assert (await service.delete(f"{service.groups}/{group}")).status == 204
    assert_envelope(await service.get(f"{service.groups}/{group}"), 404, "Request_ResourceNotFound")
    await flow.until_status("failed")
    assert await inline() is None


@pytest.mark.parametrize("group", ["staff", "students"])
async def test_a_built_in_group_stays_as_it_is(service: Api, group: str) -> None:
    url = f"{service.groups}/{group}"
    before = (await service.get(url)).text
    assert_envelope(await service.patch(url, {"displayName": "Other"}), 409, "Conflict")
    assert_envelope(await service.delete(url), 409, "Conflict")
    assert (await service.get(url)).text == before


# --- reference definitions ---------------------------------------------------------------------


def definition(**members: Any) -> dict[str, Any]:
    """A definition with a code and a place of its own."""
    return {
        "referenceType": "RefEthnicity",
        "displayName": "Example",
        "code": f"c{uuid.uuid4().hex}",
        "isDisabled": False,
        "sortIndex": sort_index(),
        **members,
    }


@pytest.mark.parametrize("reference_type", EXTENSIBLE_TYPES)
async def test_each_extensible_type_takes_definitions(service: Api, reference_type: str) -> None:
    body = definition(referenceType=reference_type)
    created = await service.post(service.definitions, body)
    assert created.status == 201, created.text
    printed = created.json()
    assert printed["id"] == f"{reference_type}-{body['code']}"
    assert printed["source"] == "Tenant Defined"
    assert DATE_TIME.fullmatch(printed["createdDateTime"])
    assert {name: printed[name] for name in body} == body
    read = (await service.get(created.headers["Location"])).json()
    assert read == {name: value for name, value in printed.items() if name != "@odata.type"}


@pytest.mark.parametrize("reference_type", ["RefRole", "RefIdentifierType", "refrace", "Ref", ""])
async def test_no_other_type_takes_definitions(service: Api, reference_type: str) -> None:
    answer = await service.post(service.definitions, definition(referenceType=reference_type))
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$.referenceType"


@pytest.mark.parametrize("shared", ["code", "sortIndex"])
async def test_of_twenty_concurrent_creates_of_one_code_or_place_one_succeeds(
    service: Api, shared: str
) -> None:
    same = {shared: definition()[shared]}
    made = await asyncio.gather(
        *(service.post(service.definitions, definition(**same)) for _ in range(20))
    )
    assert sorted(answer.status for answer in made) == [201] + [409] * 19
    for answer in made:
        if answer.status == 409:
            assert str(same[shared]) in assert_envelope(answer, 409, "Conflict")["message"]
    value = f"'{same[shared]}'" if shared == "code" else same[shared]
    options = {"$filter": f"referenceType eq 'RefEthnicity' and {shared} eq {value}"}
    assert (await service.get(f"{service.definitions}/$count", options)).text == "1"


async def test_a_code_differs_by_more_than_case_and_a_place_may_be_used_in_another_type(
    service: Api,
) -> None:
    body = definition()
    assert (await service.post(service.definitions, body)).status == 201
    upper = definition(code=body["code"].upper())
    assert_envelope(await service.post(service.definitions, upper), 409, "Conflict")
    other = {**body, "referenceType": "RefOrgType"}
    assert (await service.post(service.definitions, other)).status == 201


async def test_a_deleted_definition_is_disabled_and_keeps_its_code_and_place(service: Api) -> None:
    body = definition()
    url = (await service.post(service.definitions, body)).headers["Location"]
    before = (await service.get(url)).json()
    answer = await service.delete(url)
    assert (answer.status, answer.text) == (204, "")
    after = (await service.get(url)).json()
    assert after == {
        **before,
        "isDisabled": True,
        "lastModifiedDateTime": after["lastModifiedDateTime"],
    }
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    assert_envelope(await service.post(service.definitions, body), 409, "Conflict")
    assert (await service.patch(url, {"isDisabled": False})).status == 204
    assert (await service.get(url)).json()["isDisabled"] is False


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"code": "other"}, "$.code"),
        ({"referenceType": "RefRace"}, "$.referenceType"),
        ({"sortIndex": None}, "$.sortIndex"),
        ({"sortIndex": 1.5}, "$.sortIndex"),
        ({"isDisabled": None}, "$.isDisabled"),
        ({"surprise": 1}, "$.surprise"),
    ],
)
async def test_what_is_fixed_in_a_definition_stays(
    service: Api, body: dict[str, Any], target: str
) -> None:
    url = (await service.post(service.definitions, definition())).headers["Location"]
    before = (await service.get(url)).text
    error = assert_envelope(await service.patch(url, body), 400, "BadRequest")
    assert error["details"][0]["target"] == target
    assert (await service.get(url)).text == before


async def test_a_moved_definition_takes_no_place_of_another(service: Api) -> None:
    first, second = [await service.post(service.definitions, definition()) for _ in range(2)]
    taken = first.json()["sortIndex"]
    answer = await service.patch(second.headers["Location"], {"sortIndex": taken})
    assert str(taken) in assert_envelope(answer, 409, "Conflict")["message"]
    answer = await service.patch(second.headers["Location"], {"displayName": None})
    assert answer.status == 204
    assert (await service.get(second.headers["Location"])).json()["displayName"] is None
