"""Any body that is accepted reads back as the answer to its creation printed it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contract.schemas import CLASS_GROUP_ATTRIBUTES
from shared.domain.catalog import ROLE_CODES
from tests.support.api import Api

NAMESPACE = "#microsoft.graph.industryData."
GROUP_URLS = (
    "https://graph.microsoft.com/beta/external/industryData/roleGroups/{}",
    "https://graph.microsoft.com/beta/external/industryData/roleGroups('{}')",
    "external/industryData/roleGroups/{}",
    "external/industryData/roleGroups('{}')",
)
bools = st.booleans()
texts = st.text(
    st.characters(categories=("L", "M", "N", "P", "S", "Zs")), min_size=1, max_size=40
).filter(str.strip)


def sometimes(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object whose members may each be missing or null."""
    return st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in members.items()})


def with_members(
    needed: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """An object with members that must be there, in any order, and others that need not be."""

    def mixed(parts: tuple[dict[str, Any], dict[str, Any], bool]) -> dict[str, Any]:
        first, second, swapped = parts
        return {**second, **first} if swapped else {**first, **second}

    return st.tuples(st.fixed_dictionaries(needed), sometimes(**optional), bools).map(mixed)


def in_any_case(code: str) -> st.SearchStrategy[str]:
    """A code as it is declared, or in another case."""
    return st.sampled_from([code, code.upper(), code.swapcase()])


codes = st.sampled_from(sorted(ROLE_CODES)).flatmap(in_any_case)
mapping = st.one_of(
    st.fixed_dictionaries({"code": codes}),
    st.fixed_dictionaries(
        {
            "@odata.type": st.just(f"{NAMESPACE}sectionRoleReferenceValue"),
            "code": codes,
        }
    ),
    st.sampled_from(sorted(ROLE_CODES)).map(
        lambda code: {
            "value@odata.bind": f"external/industryData/referenceDefinitions/RefRole-{code}"
        }
    ),
)
mappings = st.lists(mapping, max_size=5)


def bound(group: str) -> st.SearchStrategy[dict[str, Any]]:
    """A configuration for a role group."""
    password = st.fixed_dictionaries(
        {"@odata.type": st.just(f"{NAMESPACE}simplePasswordSettings"), "password": texts}
    )
    return with_members(
        {"roleGroup@odata.bind": st.sampled_from(GROUP_URLS).map(lambda url: url.format(group))},
        licenseSkus=st.lists(texts, max_size=3),
        defaultPasswordSettings=password,
    )


configurations = st.lists(st.sampled_from(["staff", "students"]), unique=True, max_size=2).flatmap(
    lambda groups: st.tuples(*map(bound, groups)).map(list)
)


def flow(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A flow of a kind."""
    return st.fixed_dictionaries(
        {"@odata.type": st.just(f"{NAMESPACE}{kind}ProvisioningFlow"), **members}
    )


flows = st.one_of(
    flow(
        "administrativeUnit",
        creationOptions=with_members(
            {"createBasedOnOrg": bools, "createBasedOnOrgPlusRoleGroup": bools}
        ),
    ),
    flow(
        "securityGroup",
        creationOptions=with_members(
            {"createBasedOnRoleGroup": bools, "createBasedOnOrgPlusRoleGroup": bools}
        ),
    ),
    flow(
        "classGroup",
        configuration=with_members(
            {
                "additionalOptions": with_members(
                    {"createTeam": bools, "writeDisplayNameOnCreateOnly": bools}
                ),
                "enrollmentMappings": sometimes(
                    ownerEnrollmentMappings=mappings, memberEnrollmentMappings=mappings
                ),
            },
            additionalAttributes=st.lists(st.sampled_from(CLASS_GROUP_ATTRIBUTES), max_size=9),
        ),
    ),
    flow(
        "user",
        managementOptions=with_members(
            {
                "additionalOptions": sometimes(
                    markAllStudentsAsMinors=bools,
                    allowStudentContactAssociation=bools,
                    studentAgeGroup=st.sampled_from(["minor", "notAdult", "adult"]),
                )
            },
            additionalAttributes=st.lists(st.sampled_from(["userGradeLevel", "userNumber"])),
        ),
        createUnmatchedUsers=st.none() | bools,
        creationOptions=st.none() | sometimes(configurations=configurations),
    ),
)
organisations = st.fixed_dictionaries(
    {
        "@odata.type": st.just(f"{NAMESPACE}basicFilter"),
        "attribute": st.just("orgExternalId"),
        "in": st.lists(texts, max_size=5),
    }
)
sets = with_members({"displayName": texts}, filter=organisations)

over_http = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def without_groups(printed: dict[str, Any]) -> str:
    """A printed flow without what only reads print, and without readiness, which moves on."""
    left = {**printed, "readinessStatus": None}
    left.pop("@odata.context", None)
    options = left.get("creationOptions") or {}
    for entry in options.get("configurations", []):
        entry.pop("roleGroup", None)
        entry.pop("roleGroup@odata.context", None)
    return json.dumps(left)


@over_http
@given(body=flows)
async def test_any_accepted_flow_reads_back_as_it_was_created(
    service: Api, body: dict[str, Any]
) -> None:
    set_id = await service.new_set()
    created = await service.post(service.flows(set_id), body)
    assert created.status == 201, created.text
    assert created.json()["readinessStatus"] == "notReady"
    expected = without_groups(created.json())
    read = await service.get(created.headers["Location"])
    assert without_groups(read.json()) == expected
    [listed] = (await service.get(service.flows(set_id))).json()["value"]
    assert without_groups(listed) == expected
    again = await service.patch(created.headers["Location"], read.json())
    assert again.status == 204, again.text
    written = (await service.get(created.headers["Location"])).json()
    written["lastModifiedDateTime"] = read.json()["lastModifiedDateTime"]
    assert without_groups(written) == expected


@over_http
@given(body=sets)
async def test_any_accepted_set_reads_back_as_it_was_created(
    service: Api, body: dict[str, Any]
) -> None:
    created = await service.post(service.sets, body)
    assert created.status == 201, created.text
    assert created.json()["displayName"] == body["displayName"]
    read = await service.get(created.headers["Location"])
    assert read.text == created.text
