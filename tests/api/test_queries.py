"""Query options on every collection over HTTP: what they find and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Stored
from tests.support.api import Api, assert_envelope
from tests.support.bodies import NAMES

NAMESPACE = "#microsoft.graph.industryData."
TYPE = "microsoft.graph.industryData."
USER = f"{TYPE}userProvisioningFlow"
BASIC = f"filter/{TYPE}basicFilter"


def filled(options: dict[str, object], stored: Stored) -> dict[str, object]:
    """Options with the word that finds this file's entities."""
    return {name: str(value).replace("WORD", stored.word) for name, value in options.items()}


def found(stored: Stored, name: str, answer: Any) -> list[str]:
    """Which entities came: the number of a set or a definition, the name of a flow, a group."""
    known = {
        "sets": {each: str(number) for number, each in enumerate(stored.sets)},
        "flows": {each: kind for kind, each in stored.flows.items()},
        "groups": {stored.group: "mine", "staff": "staff", "students": "students"},
        "definitions": {each: str(number) for number, each in enumerate(stored.definitions)},
    }[name]
    return [known[entity["id"]] for entity in answer["value"]]


MINE = "startswith(displayName,'WORD')"
FOUND: list[tuple[str, dict[str, object], list[str]]] = [
    ("sets", {"filter": "displayName eq 'WORD No 3'"}, ["3"]),
    ("sets", {"filter": f"{MINE} and displayName ne 'WORD No 3'"}, list("012456")),
    ("sets", {"filter": f"{MINE} and displayName gt 'WORD No 4'"}, ["5", "6"]),
    ("sets", {"filter": f"{MINE} and displayName le 'WORD No 1'"}, ["0", "1"]),
    ("sets", {"filter": "displayName in ('WORD No 2','WORD No 6')"}, ["2", "6"]),
    ("sets", {"filter": f"{MINE} and not (displayName lt 'WORD No 5')"}, ["5", "6"]),
    ("sets", {"filter": "displayName eq 'WORD No 1' or displayName eq 'WORD No 2'"}, ["1", "2"]),
    ("sets", {"filter": f"{MINE} and endswith(displayName,'4')"}, ["4"]),
    ("sets", {"filter": "contains(displayName,'WORD No 5')"}, ["5"]),
    ("sets", {"filter": "contains(tolower(displayName),'WORD no 5')"}, ["5"]),
    ("sets", {"filter": "contains(displayName,'WORD no 5')"}, []),
    ("sets", {"filter": f"{MINE} and filter eq null"}, list("0246")),
    ("sets", {"filter": f"{MINE} and filter ne null"}, list("135")),
    ("sets", {"filter": f"{MINE} and {BASIC}/attribute eq 'orgExternalId'"}, list("135")),
    ("sets", {"filter": f"{MINE} and {BASIC}/in/any(x:x eq '3')"}, ["3"]),
    ("sets", {"filter": f"{MINE} and createdDateTime gt 2000-01-01T00:00:00Z"}, list("0123456")),
    ("sets", {"filter": f"{MINE} and createdDateTime le 2000-01-01T00:00:00.123456789Z"}, []),
    ("sets", {"filter": f"{MINE} and createdDateTime lt 2000-01-01T00:00:00Z"}, []),
    ("sets", {"filter": "displayName eq 'WORD'' OR 1 eq 1 --'"}, []),
    ("sets", {"filter": MINE, "orderby": "displayName desc", "top": 2}, ["6", "5"]),
    ("sets", {"filter": MINE, "orderby": "createdDateTime", "skip": 5}, ["5", "6"]),
    ("sets", {"filter": MINE, "orderby": "lastModifiedDateTime desc", "skip": 6}, ["0"]),
    ("sets", {"filter": MINE, "orderby": "displayName desc,createdDateTime", "top": 2}, ["6", "5"]),
    ("sets", {"filter": MINE, "orderby": "displayName,id desc", "skip": 5}, ["5", "6"]),
    ("sets", {"filter": MINE, "top": 0}, []),
    ("sets", {"search": '"WORD no 6"'}, ["6"]),
    ("sets", {"search": 'WORD "no 2"'}, ["2"]),
    ("sets", {"filter": f"{MINE} and provisioningFlows/$count eq 4"}, ["0"]),
    ("sets", {"filter": f"{MINE} and provisioningFlows/any(f:isof(f,'{USER}'))"}, ["0"]),
    ("sets", {"filter": f"{MINE} and not provisioningFlows/any()"}, list("123456")),
    ("sets", {"filter": f"{MINE} and endswith(displayName,@p)", "@p": "'5'"}, ["5"]),
    ("sets", {"filter": "displayName eq @p", "@p": "'WORD No 5'"}, ["5"]),
    ("sets", {"filter": f"{MINE} and year(createdDateTime) lt 2024"}, []),
    ("sets", {"search": '"WORD no 6" OR "WORD no 2" NOT "no 6"'}, ["2", "6"]),
    ("sets", {"search": 'WORD NOT ("no 1" OR "no 2" OR "no 3" OR "no 4")'}, ["0", "5", "6"]),
    ("flows", {"filter": f"isof({USER})"}, ["user"]),
    ("groups", {"filter": f"{MINE} and roles/$count lt 2"}, ["mine"]),
    ("definitions", {"filter": f"{MINE} and sortIndex mod 2 ge 0 and isDisabled"}, ["2"]),
    ("flows", {"filter": "readinessStatus eq 'ready'", "orderby": "createdDateTime"}, list(NAMES)),
    ("flows", {"filter": "readinessStatus eq 'failed'"}, []),
    ("flows", {"filter": f"{TYPE}userProvisioningFlow/createUnmatchedUsers eq true"}, ["user"]),
    (
        "flows",
        {"filter": f"{TYPE}administrativeUnitProvisioningFlow/creationOptions/createBasedOnOrg"},
        ["administrative_unit"],
    ),
    ("flows", {"orderby": "createdDateTime desc", "top": 1}, [NAMES[-1]]),
    ("flows", {"orderby": "createdDateTime", "skip": 2}, list(NAMES[2:])),
    ("groups", {"filter": "id in ('staff','students')"}, ["staff", "students"]),
    ("groups", {"filter": f"{MINE} and roles/any(r:r/code eq 'nurse')"}, ["mine"]),
    ("groups", {"search": "WORD"}, ["mine"]),
    ("groups", {"filter": f"{MINE} or id eq 'staff'", "orderby": "displayName"}, ["staff", "mine"]),
    ("definitions", {"filter": f"{MINE} and isDisabled eq true"}, ["2"]),
    ("definitions", {"filter": f"{MINE} and referenceType eq 'RefRace'"}, list("012")),
    ("definitions", {"filter": MINE, "orderby": "sortIndex desc", "top": 2}, ["2", "1"]),
    ("definitions", {"search": "WORD", "skip": 1}, ["1", "2"]),
]


@pytest.mark.parametrize(
    ("name", "options", "expected"), FOUND, ids=[f"{n}-{list(o.values())}" for n, o, _ in FOUND]
)
async def test_options_find_the_same_with_and_without_dollar(
    service: Api, stored: Stored, name: str, options: dict[str, object], expected: list[str]
) -> None:
    url, options = stored.url(service, name), filled(options, stored)
    plain = await service.get(url, options)
    assert plain.status == 200, plain.text
    ordered = "orderby" in options
    names = found(stored, name, plain.json())
    assert (names if ordered else sorted(names)) == (expected if ordered else sorted(expected))
    dollar = await service.get(
        url,
        {f"{'' if name[0] == '@' else '$'}{name}": value for name, value in options.items()},
    )
    assert dollar.json()["value"] == plain.json()["value"]


@pytest.mark.parametrize("name", ["sets", "flows", "groups", "definitions"])
async def test_every_collection_is_in_id_order_and_counted(
    service: Api, stored: Stored, name: str
) -> None:
    url = stored.url(service, name)
    listed = (await service.get(url, {"count": "true", "top": 999})).json()
    ids = [entity["id"] for entity in listed["value"]]
    assert ids == sorted(ids)
    assert listed["@odata.count"] >= len(ids) > 0
    assert "@odata.count" not in (await service.get(url, {"count": "false"})).json()


@pytest.mark.parametrize(
    ("name", "options", "number"),
    [
        ("sets", {"filter": f"{MINE} and filter ne null"}, 3),
        ("sets", {"$search": "WORD"}, 7),
        ("flows", {}, 4),
        ("flows", {"$filter": f"{TYPE}userProvisioningFlow/createUnmatchedUsers"}, 1),
        ("groups", {"search": "WORD"}, 1),
        ("definitions", {"$filter": MINE}, 3),
        ("definitions", {"$filter": "code eq 'WORD'"}, 0),
    ],
)
async def test_a_count_is_a_bare_number_as_text(
    service: Api, stored: Stored, name: str, options: dict[str, object], number: int
) -> None:
    url = f"{stored.url(service, name)}/$count"
    answer = await service.get(url, filled(options, stored))
    assert (answer.status, answer.text) == (200, str(number))
    assert answer.headers["Content-Type"].startswith("text/plain")


# --- refusals ----------------------------------------------------------------------------------

REFUSED: list[tuple[str, str, str, object, str]] = [
    *(
        (name, path, option, "1", option.removeprefix("$"))
        for name in ("sets", "flows", "groups", "definitions")
        for path, option in (
            ("", "$surprise"),
            ("", "filtre"),
            ("/$count", "$top"),
            ("/$count", "select"),
        )
    ),
    *(
        (name, "", option, value, "nosuch")
        for name in ("sets", "flows", "groups", "definitions")
        for option, value in (
            ("$filter", "nosuch eq 'x'"),
            ("$select", "nosuch"),
            ("orderby", "nosuch desc"),
            ("$expand", "nosuch"),
            ("filter", "nosuch(id) eq 'x'"),
        )
    ),
    ("sets", "", "$filter", "filter/nosuch eq 'x'", "nosuch"),
    ("sets", "", "$filter", "createdDateTime eq 'x'", "createdDateTime"),
    ("sets", "", "$filter", "displayName eq 7", "displayName"),
    ("sets", "", "$filter", f"{BASIC}/attribute eq 'nosuch'", "nosuch"),
    ("sets", "", "$filter", "filter/attribute eq 'orgExternalId'", f"{TYPE}basicFilter/attribute"),
    ("flows", "", "$filter", "createUnmatchedUsers", f"{TYPE}userProvisioningFlow/create"),
    ("flows", "", "$select", "createUnmatchedUsers", f"{TYPE}userProvisioningFlow/create"),
    ("flows", "", "$orderby", "createUnmatchedUsers", f"{TYPE}userProvisioningFlow/create"),
    ("sets", "", "$filter", "displayName eq", "character 13"),
    ("sets", "", "$orderby", "filter", "filter"),
    ("sets", "", "$apply", "aggregate($count as n)", "aggregate"),
    ("sets", "", "$compute", "displayName as n", "computes"),
    ("sets", "", "$expand", "provisioningFlows($select=nosuch)", "nosuch"),
    ("sets", "", "$expand", "provisioningFlows($filter=nosuch eq 'x')", "nosuch"),
    ("sets", "", "$top", "-1", "-1"),
    ("sets", "", "$top", "1000", "1000"),
    ("sets", "", "$skip", "ten", "ten"),
    ("sets", "", "$count", "yes", "yes"),
    ("sets", "", "$skiptoken", "invented", "token"),
    ("flows", "", "$filter", "readinessStatus gt 'ready'", "readinessStatus"),
    ("flows", "", "$search", "x", "$filter"),
]


@pytest.mark.parametrize(
    ("name", "path", "option", "value", "named"),
    REFUSED,
    ids=[f"{name}{path} {option}={value}" for name, path, option, value, _ in REFUSED],
)
async def test_what_is_unknown_is_refused_by_name(
    service: Api, stored: Stored, name: str, path: str, option: str, value: object, named: str
) -> None:
    answer = await service.get(stored.url(service, name) + path, {option: value})
    error = assert_envelope(answer, 400, "BadRequest")
    assert named in error["message"]
    assert option.removeprefix("$") in error["details"][0]["target"]


@pytest.mark.parametrize("option", ["$filter", "$top", "surprise"])
async def test_an_item_takes_no_options_of_collections(
    service: Api, stored: Stored, option: str
) -> None:
    for url in (
        service.set(stored.full_set),
        f"{service.set(stored.full_set)}/provisioningFlows/{stored.flows['user']}",
        f"{service.groups}/staff",
        f"{service.definitions}/RefRole-chair",
    ):
        error = assert_envelope(await service.get(url, {option: "1"}), 400, "BadRequest")
        assert option in error["message"]


async def test_a_write_takes_no_options(service: Api) -> None:
    answer = await service.post(f"{service.sets}?$select=id", {"displayName": "x"})
    assert "$select" in assert_envelope(answer, 400, "BadRequest")["message"]


async def test_an_option_in_two_spellings_is_refused(service: Api) -> None:
    answer = await service.get(service.sets, {"top": 1, "$top": 2})
    assert "$top" in assert_envelope(answer, 400, "BadRequest")["message"]


# --- $select and $expand -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "select", "kept"),
    [
        ("sets/{set}", "displayName", {"displayName": None}),
        ("sets/{set}", "id,DISPLAYNAME", {"id": None, "displayName": None}),
        (
            "sets/{set}/provisioningFlows/{security_group}",
            f"id,{TYPE}securityGroupProvisioningFlow/creationOptions/createBasedOnRoleGroup",
            {"@odata.type": None, "id": None, "creationOptions": {"createBasedOnRoleGroup": True}},
        ),
        (
            "sets/{set}/provisioningFlows/{class_group}",
            f"{TYPE}classGroupProvisioningFlow/configuration/additionalOptions/createTeam",
            {
                "@odata.type": None,
                "configuration": {"additionalOptions": {"createTeam": None}},
            },
        ),
        (
            "sets/{set}/provisioningFlows/{security_group}",
            f"{TYPE}userProvisioningFlow/createUnmatchedUsers",
            {"@odata.type": None},
        ),
        ("groups/students", "roles", {"roles": [{"code": "student"}]}),
        ("definitions/RefRole-chair", "sortIndex,code", {"code": "chair", "sortIndex": 20}),
    ],
)
async def test_select_keeps_what_it_names(
    service: Api, stored: Stored, path: str, select: str, kept: dict[str, Any]
) -> None:
    first, _, rest = path.format(set=stored.full_set, **stored.flows).partition("/")
    roots = {"sets": service.sets, "groups": service.groups, "definitions": service.definitions}
    answer = await service.get(f"{roots[first]}/{rest}", {"$select": select})
    assert answer.status == 200, answer.text
    printed = answer.json()
    assert "/$entity" in printed.pop("@odata.context")
    assert ("@odata.id" in printed) is ("id" not in kept)
    printed.pop("@odata.id", None)

    def same(shape: Any, value: Any) -> bool:
        if isinstance(shape, dict):
            return list(shape) == list(value) and all(same(shape[k], value[k]) for k in shape)
        return bool(shape is None or shape == value)

    assert same(kept, printed), printed


async def test_expand_prints_flows_as_they_are_listed(service: Api, stored: Stored) -> None:
    url = service.set(stored.full_set)
    listed = (await service.get(f"{url}/provisioningFlows")).json()
    plain = (await service.get(url)).json()
    expanded = (await service.get(url, {"$expand": "provisioningFlows"})).json()
    assert expanded["provisioningFlows"] == listed["value"]
    assert expanded["provisioningFlows@odata.context"] == listed["@odata.context"]
    assert "(provisioningFlows())" in expanded["@odata.context"]
    assert {name: expanded[name] for name in list(plain)[1:]} == {
        name: plain[name] for name in list(plain)[1:]
    }


@pytest.mark.parametrize("dollar", ["$", ""])
async def test_expand_and_select_nest(service: Api, stored: Stored, dollar: str) -> None:
    options = {
        f"{dollar}filter": f"id eq '{stored.full_set}'",
        f"{dollar}select": "displayName",
        f"{dollar}expand": f"provisioningFlows({dollar}select=id,readinessStatus)",
    }
    answer = (await service.get(service.sets, options)).json()
    [entity] = answer["value"]
    assert list(entity) == [
        "@odata.id",
        "displayName",
        "provisioningFlows@odata.context",
        "provisioningFlows",
    ]
    assert [list(flow) for flow in entity["provisioningFlows"]] == [
        ["@odata.type", "id", "readinessStatus"]
    ] * 4
    assert [flow["id"] for flow in entity["provisioningFlows"]] == sorted(stored.flows.values())
