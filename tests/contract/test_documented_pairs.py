"""Documented requests with their documented answers, as one story with the running service.

The facts are those of Microsoft's pages on the outbound API: which members a request has, what its
answer prints and in which order. Names, codes and SKUs are examples. In the answers, <plain> is the
id that the service gave to the set of that name, <plain time> the time of its creation, and <time>
any later one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from local.config import READINESS_QUEUE
from tests.support.api import DATE_TIME, GUID, Answer, Api, Flow
from tests.support.bodies import NAMES, PAYLOADS

NAMESPACE = "#microsoft.graph.industryData."
CONTEXT = "https://graph.microsoft.com/beta/$metadata#external/industryData/"
SETS = "outboundProvisioningFlowSets"
MASK = "*" * 15


def published(name: str) -> Any:
    """A request body of the page on creating flows."""
    return json.loads((PAYLOADS / f"{name}.request.json").read_text("utf-8"))


# --- what entities look like -------------------------------------------------------------------

BASIC_FILTER = {
    "@odata.type": f"{NAMESPACE}basicFilter",
    "attribute": "orgExternalId",
    "in": ["10", "20"],
}
STAFF = [
    "adjunct",
    "administrator",
    "advisor",
    "affiliate",
    "aide",
    "alumni",
    "assistant",
    "chair",
    "coach",
    "faculty",
    "instructor",
    "itAdmin",
    "lecturer",
    "nurse",
    "occupationalTherapist",
    "officeStaff",
    "paraprofessional",
    "physicalTherapist",
    "principal",
    "proctor",
    "professor",
    "researcher",
    "specialServices",
    "speechTherapist",
    "staff",
    "substitute",
    "teacher",
    "teacherAssistant",
    "visionTherapist",
]
ROLE_GROUPS = {
    "staff": {
        "id": "staff",
        "displayName": "Staff",
        "roles": [{"code": code} for code in STAFF],
    },
    "students": {"id": "students", "displayName": "Students", "roles": [{"code": "student"}]},
}


def flow_set(name: str, display_name: str, organisations: Any, *, modified: str = "") -> Any:
    """A flow set as it is printed."""
    return {
        "id": f"<{name}>",
        "createdDateTime": f"<{name} time>",
        "lastModifiedDateTime": modified or f"<{name} time>",
        "displayName": display_name,
        "filter": organisations,
    }


def flow(name: str, kind: str, status: str, members: Mapping[str, Any], modified: str = "") -> Any:
    """A flow as it is printed."""
    return {
        "@odata.type": f"{NAMESPACE}{kind}ProvisioningFlow",
        "id": f"<{name}>",
        "createdDateTime": f"<{name} time>",
        "lastModifiedDateTime": modified or f"<{name} time>",
        "readinessStatus": status,
        **members,
    }


def options_of_units(org: bool, org_and_group: bool) -> Any:
    """What administrative units are made of."""
    return {
        "creationOptions": {
            "createBasedOnOrg": org,
            "createBasedOnOrgPlusRoleGroup": org_and_group,
        }
    }


def options_of_security_groups(group: bool, org_and_group: bool) -> Any:
    """What security groups are made of."""
    return {
        "creationOptions": {
            "createBasedOnRoleGroup": group,
            "createBasedOnOrgPlusRoleGroup": org_and_group,
        }
    }


OWNERS = [
    "teacher",
    "proctor",
    "teacherAssistant",
    "paraprofessional",
    "physicalTherapist",
    "speechTherapist",
    "visionTherapist",
    "occupationalTherapist",
    "staff",
]
MEMBERS = ["student", "substitute", "aide", *OWNERS[1:]]


def class_configuration(*attributes: str, owners: list[str] = OWNERS) -> Any:
    """What class groups are made of."""
    return {
        "configuration": {
            "additionalAttributes": list(attributes),
            "additionalOptions": {"createTeam": True, "writeDisplayNameOnCreateOnly": True},
            "enrollmentMappings": {
                "ownerEnrollmentMappings": [{"code": code} for code in owners],
                "memberEnrollmentMappings": [{"code": code} for code in MEMBERS],
            },
        }
    }


CLASS_ATTRIBUTES = (
    "courseTitle",
    "courseCode",
    "courseSubject",
    "courseGradeLevel",
    "courseExternalId",
    "academicSessionTitle",
    "academicSessionExternalId",
)
OLD_OPTIONS = {"markAllStudentsAsMinors": True, "allowStudentContactAssociation": False}
NEW_OPTIONS = {**OLD_OPTIONS, "studentAgeGroup": "minor"}


def user_settings(
    options: Any,
    configurations: Mapping[str, str],
    *,
    inline_of: str = "",
    set_name: str = "filtered",
    unmatched: bool = True,
) -> Any:
    """What users are made of; role groups are printed on reads, which say whose they are."""
    group_context = (
        f"{CONTEXT}{SETS}('<{set_name}>')/provisioningFlows('<{inline_of}>')/microsoft.graph."
        "industryData.userProvisioningFlow/creationOptions/configurations/roleGroup/$entity"
    )
    return {
        "createUnmatchedUsers": unmatched,
        "managementOptions": {
            "additionalAttributes": ["userGradeLevel"],
            "additionalOptions": options,
        },
        "creationOptions": {
            "configurations": [
                {
                    "licenseSkus": [sku],
                    "defaultPasswordSettings": {
                        "@odata.type": f"{NAMESPACE}simplePasswordSettings",
                        "password": MASK,
                    },
                    **(
                        {
                            "roleGroup@odata.context": group_context,
                            "roleGroup": ROLE_GROUPS[group],
                        }
                        if inline_of
                        else {}
                    ),
                }
                for group, sku in configurations.items()
            ]
        },
    }


SKUS = {"staff": "Sku1", "students": "Sku2"}


def definition(
    reference_type: str, code: str, name: str, source: str, index: int, **other: Any
) -> Any:
    """A reference definition as it is printed."""
    return {
        "id": f"{reference_type}-{code}",
        "referenceType": reference_type,
        "displayName": name,
        "code": code,
        "source": source,
        "isDisabled": False,
        "sortIndex": index,
        "createdDateTime": "0001-01-01T00:00:00Z",
        "lastModifiedDateTime": "0001-01-01T00:00:00Z",
        **other,
    }


def one(collection: str, printed: Mapping[str, Any]) -> Any:
    """The answer that has one entity."""
    return {"@odata.context": f"{CONTEXT}{collection}/$entity", **printed}


def many(collection: str, *printed: Any) -> Any:
    """The answer that has a collection."""
    return {"@odata.context": f"{CONTEXT}{collection}", "value": list(printed)}


# --- the pairs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A request and its answer; None is an empty body.

    `saves` names the entity that is created. Before the request, flows named in its path get the
    readinessStatus `when`: every read in the documentation shows `disabled`.
    """

    title: str
    method: str
    path: str
    status: int
    answer: Any = None
    body: Any = None
    saves: str = ""
    when: str = ""


DOCUMENTED_SETS = "OutboundProvisioningFlowSets"
FILTERED_FLOWS = f"{SETS}('<filtered>')/provisioningFlows"
PLAIN_FLOWS = f"{SETS}('<plain>')/provisioningFlows"
GRADE = {
    "referenceType": "RefGradeLevel",
    "displayName": "A grade to test with",
    "code": "TestGrade",
    "isDisabled": False,
    "sortIndex": 300,
}
GRADE_TIMES = {"createdDateTime": "<grade time>", "lastModifiedDateTime": "<grade time>"}
GRADE_CHANGED = {**GRADE_TIMES, "lastModifiedDateTime": "<time>"}

PAIRS = [
    # Creates.
    Pair(
        "create a flow set without a filter",
        "POST",
        SETS,
        201,
        body={"displayName": "Contoso schools"},
        answer=one(SETS, flow_set("plain", "Contoso schools", None)),
        saves="plain",
    ),
    Pair(
        "create a flow set with a filter and a redundant type",
        "POST",
        SETS,
        201,
        body={
            "@odata.type": f"{NAMESPACE}outboundProvisioningFlowSet",
            "displayName": "Fabrikam schools",
            "filter": BASIC_FILTER,
        },
        answer=one(SETS, flow_set("filtered", "Fabrikam schools", BASIC_FILTER)),
        saves="filtered",
    ),
    Pair(
        "create an administrative unit flow",
        "POST",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows",
        201,
        body=published("administrative_unit"),
        answer=one(
            FILTERED_FLOWS,
            flow("unit", "administrativeUnit", "notReady", options_of_units(True, True)),
        ),
        saves="unit",
    ),
    Pair(
        "create a user flow",
        "POST",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows",
        201,
        body=published("user"),
        answer=one(
            FILTERED_FLOWS, flow("user", "user", "notReady", user_settings(OLD_OPTIONS, SKUS))
        ),
        saves="user",
    ),
    Pair(
        "create a class group flow",
        "POST",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows",
        201,
        body=published("class_group"),
        answer=one(
            FILTERED_FLOWS,
            flow("class", "classGroup", "notReady", class_configuration(*CLASS_ATTRIBUTES)),
        ),
        saves="class",
    ),
    Pair(
        "create a security group flow",
        "POST",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows",
        201,
        body=published("security_group"),
        answer=one(
            FILTERED_FLOWS,
            flow("group", "securityGroup", "notReady", options_of_security_groups(True, False)),
        ),
        saves="group",
    ),
    Pair(
        "create a user flow with the age group of 2025",
        "POST",
        DOCUMENTED_SETS + "/<plain>/provisioningFlows",
        201,
        body={
            **published("user"),
            "managementOptions": {
                "additionalAttributes": ["userGradeLevel"],
                "additionalOptions": {
                    "studentAgeGroup": "minor",
                    "allowStudentContactAssociation": False,
                },
            },
        },
        answer=one(
            PLAIN_FLOWS, flow("later", "user", "notReady", user_settings(NEW_OPTIONS, SKUS))
        ),
        saves="later",
    ),
    Pair(
        "create a reference definition",
        "POST",
        "referenceDefinitions",
        201,
        body=GRADE,
        answer=one(
            "referenceDefinitions",
            {
                # The one place where a declared type is printed.
                "@odata.type": f"{NAMESPACE}referenceDefinition",
                **definition(
                    "RefGradeLevel",
                    "TestGrade",
                    "A grade to test with",
                    "Tenant Defined",
                    300,
                    **GRADE_TIMES,
                ),
            },
        ),
        saves="grade",
    ),
    # Gets.
    Pair(
        "get a flow set",
        "GET",
        SETS + "/<filtered>",
        200,
        answer=one(SETS, flow_set("filtered", "Fabrikam schools", BASIC_FILTER)),
    ),
    Pair(
        "get an administrative unit flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<unit>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow("unit", "administrativeUnit", "disabled", options_of_units(True, True)),
        ),
        when="disabled",
    ),
    Pair(
        "get a class group flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<class>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow("class", "classGroup", "disabled", class_configuration(*CLASS_ATTRIBUTES)),
        ),
        when="disabled",
    ),
    Pair(
        "get a security group flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<group>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow("group", "securityGroup", "disabled", options_of_security_groups(True, False)),
        ),
        when="disabled",
    ),
    Pair(
        "get a user flow with its role groups",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<user>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow("user", "user", "disabled", user_settings(OLD_OPTIONS, SKUS, inline_of="user")),
        ),
        when="disabled",
    ),
    Pair(
        "get a user flow with the age group of 2025",
        "GET",
        SETS + "/<plain>/provisioningFlows/<later>",
        200,
        answer=one(
            PLAIN_FLOWS,
            flow(
                "later",
                "user",
                "disabled",
                user_settings(NEW_OPTIONS, SKUS, inline_of="later", set_name="plain"),
            ),
        ),
        when="disabled",
    ),
    Pair(
        "get a role group",
        "GET",
        "roleGroups/students",
        200,
        answer=one("roleGroups", ROLE_GROUPS["students"]),
    ),
    Pair(
        "get a reference definition",
        "GET",
        "referenceDefinitions/RefIdentifierType-username",
        200,
        answer=one(
            "referenceDefinitions",
            definition("RefIdentifierType", "username", "Username", "IMS Global", 40),
        ),
    ),
    # Lists.
    Pair(
        "list flow sets",
        "GET",
        SETS + "?$filter=id in ('<filtered>','<plain>')",
        200,
        answer=many(
            SETS,
            flow_set("plain", "Contoso schools", None),
            flow_set("filtered", "Fabrikam schools", BASIC_FILTER),
        ),
    ),
    Pair(
        "list the flows of a set",
        "GET",
        SETS + "/<filtered>/provisioningFlows",
        200,
        answer=many(
            FILTERED_FLOWS,
            flow("unit", "administrativeUnit", "disabled", options_of_units(True, True)),
            flow("user", "user", "disabled", user_settings(OLD_OPTIONS, SKUS, inline_of="user")),
            flow("class", "classGroup", "disabled", class_configuration(*CLASS_ATTRIBUTES)),
            flow("group", "securityGroup", "disabled", options_of_security_groups(True, False)),
        ),
    ),
    Pair(
        "list role groups",
        "GET",
        "roleGroups?$filter=id in ('staff','students')",
        200,
        answer=many("roleGroups", ROLE_GROUPS["staff"], ROLE_GROUPS["students"]),
    ),
    Pair(
        "list reference definitions",
        "GET",
        "referenceDefinitions?$filter=source ne 'Tenant Defined' and referenceType ne 'RefRole'"
        " and referenceType ne 'RefOrgType'",
        200,
        answer=many(
            "referenceDefinitions",
            definition("RefAcademicSubject", "01", "01", "microsoft.com", 10),
            definition("RefEmailAddressType", "home", "Home", "CEDS", 10),
            definition("RefGradeLevel", "01", "01", "CEDS", 60),
            definition("RefGradeLevel", "02", "02", "CEDS", 70),
            definition("RefGradeLevel", "undergraduate", "Undergraduate", "Contoso", 270),
            definition("RefIdentifierType", "username", "Username", "IMS Global", 40),
        ),
    ),
    # Updates, and what is read next.
    Pair(
        "update a flow set",
        "PATCH",
        SETS + "/<plain>",
        204,
        body={
            "@odata.type": f"{NAMESPACE}outboundProvisioningFlowSet",
            "displayName": "Contoso schools of the north",
            "filter": BASIC_FILTER,
        },
    ),
    Pair(
        "read the updated flow set",
        "GET",
        SETS + "/<plain>",
        200,
        answer=one(
            SETS,
            flow_set("plain", "Contoso schools of the north", BASIC_FILTER, modified="<time>"),
        ),
    ),
    Pair(
        "update an administrative unit flow, its names in the documented case",
        "PATCH",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows/<unit>",
        204,
        body={
            "@odata.type": f"{NAMESPACE}administrativeUnitProvisioningFlow",
            "creationOptions": {
                "createBasedOnOrg": True,
                "createBasedOnOrgPlusroleGroup": False,
            },
        },
    ),
    Pair(
        "read the updated administrative unit flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<unit>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow("unit", "administrativeUnit", "ready", options_of_units(True, False), "<time>"),
        ),
        when="ready",
    ),
    Pair(
        "update a class group flow",
        "PATCH",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows/<class>",
        204,
        body={
            "@odata.type": f"{NAMESPACE}classGroupProvisioningFlow",
            "configuration": {
                **published("class_group")["configuration"],
                "additionalAttributes": ["courseTitle", "courseCode"],
            },
        },
    ),
    Pair(
        "read the updated class group flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<class>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow(
                "class",
                "classGroup",
                "ready",
                class_configuration("courseTitle", "courseCode"),
                "<time>",
            ),
        ),
        when="ready",
    ),
    Pair(
        "update a security group flow",
        "PATCH",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows/<group>",
        204,
        body={
            "@odata.type": f"{NAMESPACE}securityGroupProvisioningFlow",
            **options_of_security_groups(False, True),
        },
    ),
    Pair(
        "read the updated security group flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<group>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow(
                "group", "securityGroup", "ready", options_of_security_groups(False, True), "<time>"
            ),
        ),
        when="ready",
    ),
    Pair(
        "update a user flow",
        "PATCH",
        DOCUMENTED_SETS + "/<filtered>/provisioningFlows/<user>",
        204,
        body={
            **published("user"),
            "createUnmatchedUsers": False,
            "managementOptions": {
                "additionalAttributes": ["userGradeLevel"],
                "additionalOptions": {
                    "studentAgeGroup": "minor",
                    "allowStudentContactAssociation": False,
                },
            },
        },
    ),
    Pair(
        "read the updated user flow",
        "GET",
        SETS + "/<filtered>/provisioningFlows/<user>",
        200,
        answer=one(
            FILTERED_FLOWS,
            flow(
                "user",
                "user",
                "ready",
                user_settings(NEW_OPTIONS, SKUS, inline_of="user", unmatched=False),
                "<time>",
            ),
        ),
        when="ready",
    ),
    Pair(
        "update a reference definition",
        "PATCH",
        "referenceDefinitions/<grade>",
        204,
        body={
            "@odata.type": f"{NAMESPACE}referenceDefinition",
            "displayName": "Another grade",
        },
    ),
    Pair(
        "read the updated reference definition",
        "GET",
        "referenceDefinitions/<grade>",
        200,
        answer=one(
            "referenceDefinitions",
            definition(
                "RefGradeLevel",
                "TestGrade",
                "Another grade",
                "Tenant Defined",
                300,
                **GRADE_CHANGED,
            ),
        ),
    ),
    # The action, by both of its names.
    Pair("reset a flow", "POST", SETS + "/<filtered>/provisioningFlows/<unit>/reset", 202),
    Pair(
        "reset a flow by the action's full name",
        "POST",
        SETS + "/<filtered>/provisioningFlows/<group>/microsoft.graph.industryData.reset",
        202,
    ),
    # Deletes.
    Pair("delete a flow", "DELETE", SETS + "/<plain>/provisioningFlows/<later>", 204),
    Pair(
        "list no flows",
        "GET",
        SETS + "/<plain>/provisioningFlows",
        200,
        answer=many(PLAIN_FLOWS),
    ),
    Pair("delete a flow set", "DELETE", SETS + "/<filtered>", 204),
    Pair("delete a reference definition", "DELETE", "referenceDefinitions/<grade>", 204),
    Pair(
        "read the deleted reference definition, which is disabled",
        "GET",
        "referenceDefinitions/<grade>",
        200,
        answer=one(
            "referenceDefinitions",
            definition(
                "RefGradeLevel",
                "TestGrade",
                "Another grade",
                "Tenant Defined",
                300,
                **{"isDisabled": True, **GRADE_CHANGED},
            ),
        ),
    ),
]


class Story:
    """Tells the pairs to the service, one after the other, and remembers the answers."""

    def __init__(self, service: Api, client: ServiceBusClient) -> None:
        self.service = service
        self.client = client
        self.ids: dict[str, str] = {}
        self.times: dict[str, str] = {}
        self.answers: dict[str, Answer] = {}

    async def tell(self, pair: Pair) -> None:
        """Send a request and keep its answer, with names for what the service chose."""
        path = pair.path
        for name, known in self.ids.items():
            path = path.replace(f"<{name}>", known)
        url = f"{self.service.industry_data}/{path.replace(' ', '%20')}"
        if pair.when:
            await self.settle(url, pair.when)
        body = None if pair.body is None else json.dumps(pair.body).encode()
        answer = await self.service.send(pair.method, url, body)
        self.answers[pair.title] = answer
        if pair.saves and answer.status == 201:
            printed = answer.json()
            self.ids[pair.saves] = printed["id"]
            self.times[printed["createdDateTime"]] = f"<{pair.saves} time>"

    async def settle(self, url: str, status: str) -> None:
        """Wait until a flow is ready; where it is to be disabled, report that."""
        set_id, _, flow_id = url.rsplit("/", 3)[1:]
        kind = (await self.service.get(url)).json()["@odata.type"].rpartition(".")[2]
        about = Flow(self.service, set_id, flow_id, kind)
        await about.until_status("ready")
        if status == "disabled":
            _, report = about.report("disabled", datetime.now(UTC))
            async with self.client.get_queue_sender(READINESS_QUEUE) as sender:
                await sender.send_messages(report)
            await about.until_status("disabled")

    def named(self, value: Any) -> Any:
        """Put the story's names for ids and times into a printed value."""
        if isinstance(value, dict):
            return {name: self.named(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.named(inner) for inner in value]
        if not isinstance(value, str) or value.startswith("0001-"):
            return value
        if DATE_TIME.fullmatch(value):
            return self.times.get(value, "<time>")
        for name, known in self.ids.items():
            if GUID.fullmatch(known):
                value = value.replace(known, f"<{name}>")
        return value

    def in_id_order(self, answer: Any) -> Any:
        """Put the entities of a list, which stand as they were created, in id order."""
        if "value" not in answer:
            return answer

        def id_of(printed: Any) -> str:
            name: str = printed["id"].strip("<>")
            return self.ids.get(name, name)

        return {**answer, "value": sorted(answer["value"], key=id_of)}


@pytest.fixture(scope="module")
async def story(service: Api, service_bus_client: ServiceBusClient) -> Story:
    """The whole story, with its answers."""
    story = Story(service, service_bus_client)
    for pair in PAIRS:
        await story.tell(pair)
    return story


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.title)
def test_the_documented_answer_is_given(story: Story, pair: Pair) -> None:
    answer = story.answers[pair.title]
    assert answer.status == pair.status, answer.text
    if pair.answer is None:
        assert answer.text == ""
    else:
        printed = json.dumps(story.named(answer.json()), indent=1)
        assert printed == json.dumps(story.in_id_order(pair.answer), indent=1)


def test_every_documented_kind_of_flow_is_in_the_table() -> None:
    bodies = [pair.body for pair in PAIRS if pair.method == "POST"]
    assert all(published(name) in bodies for name in NAMES)
