"""$metadata: every type, enum and action of the API, and that answers name no other types."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from local.config import ROOT
from tests.support.api import Api, Flow
from tests.support.bodies import NAMES

READER = Path(__file__).with_name("read_metadata.cjs")
NAMESPACE = "microsoft.graph.industryData"

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
readinessChange
    readinessStatus readinessStatus reason Edm.String? revision Edm.Int32 eventId Edm.String?
    eventDateTime Edm.DateTimeOffset appliedDateTime Edm.DateTimeOffset
initialPassword
    roleGroup Edm.String password Edm.String
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


async def test_external_is_in_a_namespace_of_its_own_and_has_no_base(csdl: ET.Element) -> None:
    [external] = schema(csdl, "microsoft.graph.externalConnectors")
    assert external.attrib == {"Name": "external"}
    assert described(external) == (None, {"industryData": "industryDataRoot?"})
    [singleton] = csdl.iter(f"{EDM}Singleton")
    assert singleton.get("Type") == "microsoft.graph.externalConnectors.external"
    assert schema(csdl, "microsoft.graph").get("Alias") == "graph"


async def test_collections_that_may_be_omitted_have_nullable_entries(csdl: ET.Element) -> None:
    collections = {
        f"{kind.get('Name')}/{each.get('Name')}": each.get("Nullable", "true")
        for kind in schema(csdl)
        for each in kind.iter(f"{EDM}Property")
        if each.attrib["Type"].startswith("Collection(")
    }
    assert {name for name, nullable in collections.items() if nullable == "true"} == {
        "classGroupConfiguration/additionalAttributes",
        "enrollmentMappings/ownerEnrollmentMappings",
        "enrollmentMappings/memberEnrollmentMappings",
        "userManagementOptions/additionalAttributes",
        "userCreationOptions/configurations",
        "userConfiguration/licenseSkus",
    }
    assert {"basicFilter/in", "roleGroup/roles"} <= collections.keys()


async def test_navigation_contains_what_is_reached_through_it_only(csdl: ET.Element) -> None:
    contained = {
        f"{kind.get('Name')}/{each.get('Name')}"
        for kind in csdl.iter()
        for each in kind.findall(f"{EDM}NavigationProperty")
        if each.get("ContainsTarget") == "true"
    }
    assert contained == {
        "external/industryData",
        "industryDataRoot/outboundProvisioningFlowSets",
        "industryDataRoot/referenceDefinitions",
        "industryDataRoot/roleGroups",
        "outboundProvisioningFlowSet/provisioningFlows",
        "userConfiguration/roleGroup",
    }


@pytest.mark.parametrize("name", ENUMS)
async def test_metadata_describes_each_enum(csdl: ET.Element, name: str) -> None:
    [element] = [each for each in schema(csdl).iter(f"{EDM}EnumType") if each.get("Name") == name]
    assert " ".join(each.attrib["Name"] for each in element) == ENUMS[name]
    first = 1 if name == "filterOptions" else 0
    values = [str(number) for number in range(first, first + len(element))]
    assert [each.get("Value") for each in element] == values


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


async def test_what_is_called_on_a_flow_is_bound_to_one(csdl: ET.Element) -> None:
    called = {
        each.attrib["Name"]: each
        for sort in ("Action", "Function")
        for each in schema(csdl).iter(f"{EDM}{sort}")
    }
    assert called.keys() == {"reset", "readinessHistory", "readPasswords"}
    for each in called.values():
        assert each.get("IsBound") == "true"
        [bound] = each.findall(f"{EDM}Parameter")
        assert bound.get("Type") == f"{NAMESPACE}.provisioningFlow"
        assert bound.get("Nullable") == "false"
    assert called["readinessHistory"].tag == f"{EDM}Function"
    returned = {
        name: [each.get("Type") for each in element.findall(f"{EDM}ReturnType")]
        for name, element in called.items()
    }
    assert returned == {
        "reset": [],
        "readinessHistory": [f"Collection({NAMESPACE}.readinessChange)"],
        "readPasswords": [f"Collection({NAMESPACE}.initialPassword)"],
    }


@pytest.mark.parametrize(
    ("name", "method"), [("readinessHistory", "GET"), ("readPasswords", "POST")]
)
@pytest.mark.parametrize("form", ["{}", "{}()", f"{NAMESPACE}.{{}}", f"{NAMESPACE}.{{}}()"])
async def test_what_metadata_declares_is_called_by_its_names(
    service: Api, csdl: ET.Element, name: str, method: str, form: str
) -> None:
    flow = await service.new_flow()
    answer = await service.send(method, f"{flow.url}/{form.format(name)}")
    assert answer.status == 200, answer.text
    [declared] = [each for each in schema(csdl) if each.get("Name") == name]
    returned = declared.find(f"{EDM}ReturnType")
    assert returned is not None
    assert answer.json()["@odata.context"].endswith(f"/$metadata#{returned.get('Type')}")
    entries = answer.json()["value"]
    assert name == "readPasswords" or set(entries[0]) == set(table()["readinessChange"][1])


def read_twice(text: str) -> Any:
    """What two readers of CSDL find in a document, and what they say against it."""
    read = subprocess.run(
        ["node", str(READER)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "NODE_PATH": str(ROOT / "tests" / "node_modules")},
    )
    return json.loads(read.stdout)


async def test_two_readers_of_csdl_find_the_same_types(service: Api, csdl: ET.Element) -> None:
    text = (await service.get(f"{service.root}/$metadata")).text
    found = read_twice(text)
    assert found["messages"] == []
    assert found["container"] == "microsoft.graph.GraphService"
    declared = {
        kind: sorted(
            f"{each.get('Namespace')}.{one.get('Name')}"
            for each in csdl.iter(f"{EDM}Schema")
            for one in each.findall(f"{EDM}{kind}")
        )
        for kind in ("EntityType", "ComplexType", "EnumType")
    }
    for reader in ("one", "other"):
        assert {kind: sorted(names) for kind, names in found[reader].items()} == declared
    calls = [f"{NAMESPACE}.{name}" for name in ("readPasswords", "readinessHistory", "reset")]
    assert sorted(found["calls"]) == calls


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
