"""Every accepted body reads back as its create answered, and updates without a change change
nothing: examples made by Hypothesis, sent to the running stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.schemas import CLASS_GROUP_ATTRIBUTES
from shared.domain.catalog import EXTENSIBLE_TYPES, ROLE_CODES
from tests.support.api import Api, sort_index

NAMESPACE = "#microsoft.graph.industryData."
MASK = "*" * 15
GROUPS = ("staff", "students", "ours")
BINDS = (
    "https://graph.microsoft.com/beta/external/industryData/roleGroups/{}",
    "https://graph.microsoft.com/beta/external/industryData/roleGroups('{}')",
    "external/industryData/roleGroups/{}",
    "external/industryData/roleGroups('{}')",
    "/beta/external/industryData/ROLEGROUPS/{}",
    "/external/industrydata/roleGroups('{}')",
)

# --- bodies, each with what is printed of it ---------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A body, and what is printed of it: absent members too, as what they stand for."""

    body: Any
    printed: Any


Draw = Callable[[st.SearchStrategy[Any]], Any]
CASINGS: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str.lower, str.upper, str.swapcase]
)
BOOLS = st.booleans()
TEXTS = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]),
    min_size=1,
    max_size=40,
).filter(lambda text: bool(text.strip()))


def complex_value(draw: Draw, members: Mapping[str, Sent | None]) -> Sent:
    """An object with names in any case and members in any order; None members are not sent."""
    order = draw(st.permutations(list(members)))
    chosen = {name: sent for name in order if (sent := members[name]) is not None}
    body = {draw(CASINGS)(name): sent.body for name, sent in chosen.items()}
    return Sent(body, {name: sent.printed for name in members if (sent := members[name])})


def same(value: Any) -> Sent:
    """What is printed as it is sent."""
    return Sent(value, value)


ABSENT = object()
NOTHING: dict[str, Any] = {}


def optional(draw: Draw, value: Sent, missing: Any) -> tuple[Sent, bool]:
    """A member that may be left out or null; the second value says whether it is sent."""
    how = draw(st.sampled_from(["given", "given", "null", "absent"]))
    return (value, True) if how == "given" else (Sent(None, missing), how == "null")


def assembled(draw: Draw, members: Mapping[str, tuple[Sent, bool]]) -> Sent:
    """An object some of whose members are not sent, but all printed."""
    sent = complex_value(draw, {name: each for name, (each, given) in members.items() if given})
    return Sent(sent.body, {name: each.printed for name, (each, _) in members.items()})


def enum_list(draw: Draw, *members: str) -> tuple[Sent, bool]:
    """A collection of enum members, in any order and with repetitions."""
    return optional(draw, same(draw(st.lists(st.sampled_from(members), max_size=4))), [])


def booleans(draw: Draw, *names: str) -> Sent:
    """An object of booleans that are all needed."""
    return complex_value(draw, {name: same(draw(BOOLS)) for name in names})


@st.composite
def administrative_units(draw: Draw) -> Sent:
    """A flow for administrative units."""
    names = ("createBasedOnOrg", "createBasedOnOrgPlusRoleGroup")
    return complex_value(draw, {"creationOptions": booleans(draw, *names)})


@st.composite
def security_groups(draw: Draw) -> Sent:
    """A flow for security groups."""
    names = ("createBasedOnRoleGroup", "createBasedOnOrgPlusRoleGroup")
    return complex_value(draw, {"creationOptions": booleans(draw, *names)})


def role(draw: Draw) -> Sent:
    """A mapping entry by code, in any case, or by the URL of the definition."""
    code = draw(st.sampled_from(ROLE_CODES))
    if draw(BOOLS):
        named = {"@odata.type": f"{NAMESPACE}sectionRoleReferenceValue"} if draw(BOOLS) else {}
        body = {**named, "code": draw(CASINGS)(code)}
    else:
        body = {"value@odata.bind": f"external/industryData/referenceDefinitions/RefRole-{code}"}
    return Sent(body, {"code": code})


def roles(draw: Draw) -> tuple[Sent, bool]:
    """A side of the enrolment mappings."""
    entries = [role(draw) for _ in range(draw(st.integers(0, 4)))]
    given = Sent([each.body for each in entries], [each.printed for each in entries])
    return optional(draw, given, [])


@st.composite
def class_groups(draw: Draw) -> Sent:
    """A flow for class groups."""
    mappings = assembled(
        draw,
        {"ownerEnrollmentMappings": roles(draw), "memberEnrollmentMappings": roles(draw)},
    )
    options = booleans(draw, "createTeam", "writeDisplayNameOnCreateOnly")
    configuration = assembled(
        draw,
        {
            "additionalAttributes": enum_list(draw, *CLASS_GROUP_ATTRIBUTES),
            "additionalOptions": (options, True),
            "enrollmentMappings": (mappings, True),
        },
    )
    return complex_value(draw, {"configuration": configuration})


def user_options(draw: Draw) -> Sent:
    """How students are marked: an age group, where it is given, decides the older flag."""
    flag, flag_given = optional(draw, same(draw(BOOLS)), None)
    contacts = optional(draw, same(draw(BOOLS)), None)
    group = draw(st.sampled_from([ABSENT, None, "minor", "notAdult", "adult"]))
    if group is ABSENT:
        age: dict[str, tuple[Sent, bool]] = {}
    else:
        flag = Sent(flag.body, group == "minor")
        age = {"studentAgeGroup": (same(group), True)}
    return assembled(
        draw,
        {
            "markAllStudentsAsMinors": (flag, flag_given),
            "allowStudentContactAssociation": contacts,
            **age,
        },
    )


def user_configuration(draw: Draw, group: str) -> Sent:
    """Licences and password of one role group; BIND:n:group stands for a URL of it."""
    password = complex_value(
        draw,
        {
            "@odata.type": same(f"{NAMESPACE}simplePasswordSettings"),
            "password": Sent(draw(TEXTS.filter(lambda text: text != MASK)), MASK),
        },
    )
    skus = optional(draw, same(draw(st.lists(TEXTS, max_size=3))), [])
    sent = assembled(
        draw,
        {"licenseSkus": skus, "defaultPasswordSettings": optional(draw, password, None)},
    )
    form = draw(st.integers(0, len(BINDS) - 1))
    return Sent({**sent.body, "roleGroup@odata.bind": f"BIND:{form}:{group}"}, sent.printed)


@st.composite
def users(draw: Draw) -> Sent:
    """A flow for users."""
    groups = draw(st.lists(st.sampled_from(GROUPS), unique=True))
    entries = [user_configuration(draw, group) for group in groups]
    configurations = Sent([each.body for each in entries], [each.printed for each in entries])
    creation = assembled(draw, {"configurations": optional(draw, configurations, [])})
    management = assembled(
        draw,
        {
            "additionalAttributes": enum_list(draw, "userGradeLevel", "userNumber"),
            "additionalOptions": (user_options(draw), True),
        },
    )
    return assembled(
        draw,
        {
            "createUnmatchedUsers": optional(draw, same(draw(BOOLS)), None),
            "managementOptions": (management, True),
            "creationOptions": optional(draw, creation, None),
        },
    )


KINDS: dict[str, st.SearchStrategy[Sent]] = {
    "administrativeUnit": administrative_units(),
    "classGroup": class_groups(),
    "securityGroup": security_groups(),
    "user": users(),
}


@st.composite
def sets(draw: Draw) -> Sent:
    """A flow set, with or without a filter."""
    organisations = complex_value(
        draw,
        {
            "@odata.type": same(f"{NAMESPACE}basicFilter"),
            "attribute": same("orgExternalId"),
            "in": same(draw(st.lists(TEXTS, max_size=3))),
        },
    )
    return assembled(
        draw,
        {"displayName": (same(draw(TEXTS)), True), "filter": optional(draw, organisations, None)},
    )


# --- helpers -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def ours(service: Api) -> str:
    """A role group beside the built-in ones."""
    return await service.new_role_group("nurse", "coach")


def with_binds(value: Any, ours: str) -> Any:
    """Put URLs of role groups where the body only names them."""
    if isinstance(value, dict):
        return {name: with_binds(inner, ours) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_binds(inner, ours) for inner in value]
    if isinstance(value, str) and value.startswith("BIND:"):
        _, form, group = value.split(":")
        return BINDS[int(form)].format(ours if group == "ours" else group)
    return value


def members(printed: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    """A printed entity without some of its members."""
    return {name: value for name, value in printed.items() if name not in left_out}


def without_groups(printed: Any) -> Any:
    """A printed flow without its inline role groups, as a create answers it."""
    if isinstance(printed, dict):
        return {
            name: without_groups(value)
            for name, value in printed.items()
            if name.partition("@")[0] != "roleGroup"
        }
    return [without_groups(entry) for entry in printed] if isinstance(printed, list) else printed


def text(value: Any) -> str:
    """JSON to compare, the order of members included."""
    return json.dumps(value)


# --- properties --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
async def test_an_accepted_flow_reads_back_as_its_create_answered(
    service: Api, ours: str, kind: str, data: st.DataObject
) -> None:
    sent = data.draw(KINDS[kind])
    set_id = await service.new_set()
    body = {**with_binds(sent.body, ours), "@odata.type": f"{NAMESPACE}{kind}ProvisioningFlow"}
    created = await service.post(service.flows(set_id), body)
    assert created.status == 201, created.text
    answer = created.json()
    assert answer["readinessStatus"] == "notReady"
    own = ("@odata.context", "@odata.type", "id", "createdDateTime", "lastModifiedDateTime")
    assert text(members(answer, *own, "readinessStatus")) == text(sent.printed)

    url = created.headers["Location"]
    read = (await service.get(url)).json()
    assert text(members(without_groups(read), "readinessStatus")) == text(
        members(answer, "readinessStatus")
    )
    [listed] = (await service.get(service.flows(set_id))).json()["value"]
    assert text(members(listed, "readinessStatus")) == text(
        members(read, "@odata.context", "readinessStatus")
    )
    for change in (NOTHING, read):
        updated = await service.patch(url, change)
        assert updated.status == 204, updated.text
        again = (await service.get(url)).json()
        volatile = ("lastModifiedDateTime", "readinessStatus")
        assert text(members(again, *volatile)) == text(members(read, *volatile))
    assert (await service.delete(service.set(set_id))).status == 204


@settings(max_examples=20, deadline=None)
@given(sent=sets())
async def test_an_accepted_set_reads_back_as_its_create_answered(service: Api, sent: Sent) -> None:
    created = await service.post(service.sets, sent.body)
    assert created.status == 201, created.text
    answer = created.json()
    own = ("@odata.context", "id", "createdDateTime", "lastModifiedDateTime")
    assert text(members(answer, *own)) == text(sent.printed)
    url = created.headers["Location"]
    assert (await service.get(url)).text == created.text
    for change in (NOTHING, answer):
        updated = await service.patch(url, change)
        assert updated.status == 204, updated.text
        again = (await service.get(url)).json()
        assert text(members(again, "lastModifiedDateTime")) == text(
            members(answer, "lastModifiedDateTime")
        )
    assert (await service.delete(url)).status == 204


@settings(max_examples=20, deadline=None)
@given(data=st.data())
async def test_an_accepted_role_group_reads_back_as_its_create_answered(
    service: Api, data: st.DataObject
) -> None:
    codes = data.draw(st.lists(st.sampled_from(ROLE_CODES), max_size=5))
    body = complex_value(
        data.draw,
        {
            "displayName": same(data.draw(TEXTS)),
            "roles": Sent(
                [{"code": data.draw(CASINGS)(code)} for code in codes],
                [{"code": code} for code in sorted(set(codes))],
            ),
        },
    )
    created = await service.post(service.groups, body.body)
    assert created.status == 201, created.text
    assert text(members(created.json(), "@odata.context", "id")) == text(body.printed)
    url = created.headers["Location"]
    for change in (NOTHING, created.json()):
        assert (await service.get(url)).text == created.text
        assert (await service.patch(url, change)).status == 204
    assert (await service.get(url)).text == created.text
    assert (await service.delete(url)).status == 204


@settings(max_examples=20, deadline=None)
@given(data=st.data())
async def test_an_accepted_definition_reads_back_as_its_create_answered(
    service: Api, data: st.DataObject
) -> None:
    index = sort_index()
    reference_type = data.draw(st.sampled_from(EXTENSIBLE_TYPES))
    # The index makes the code another one each time: it cannot be used again, not even deleted.
    code = f"{data.draw(st.from_regex(r'[A-Za-z0-9][A-Za-z0-9._-]{0,8}', fullmatch=True))}.{index}"
    body = assembled(
        data.draw,
        {
            "referenceType": (same(reference_type), True),
            "displayName": optional(data.draw, same(data.draw(TEXTS)), None),
            "code": (same(code), True),
            "source": (Sent("whatever", "Tenant Defined"), data.draw(BOOLS)),
            "isDisabled": (same(data.draw(BOOLS)), True),
            "sortIndex": (same(index), True),
        },
    )
    created = await service.post(service.definitions, body.body)
    assert created.status == 201, created.text
    answer = created.json()
    own = ("@odata.context", "@odata.type", "id", "createdDateTime", "lastModifiedDateTime")
    assert text(members(answer, *own)) == text(body.printed)
    assert answer["id"] == f"{reference_type}-{code}"
    url = created.headers["Location"]
    # Only the create prints the declared type.
    assert text((await service.get(url)).json()) == text(members(answer, "@odata.type"))
    for change in (NOTHING, answer):
        assert (await service.patch(url, change)).status == 204
        again = (await service.get(url)).json()
        volatile = ("@odata.type", "lastModifiedDateTime")
        assert text(members(again, *volatile)) == text(members(answer, *volatile))
