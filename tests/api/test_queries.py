"""Query options on every collection over HTTP: what they find, what is refused, and pages."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.api import NAMES, Api, Flow, assert_envelope, sort_index

NAMESPACE = "#microsoft.graph.industryData."
TYPE = "microsoft.graph.industryData."
USER = f"{TYPE}userProvisioningFlow"
BASIC = f"filter/{TYPE}basicFilter"


@dataclass(frozen=True)
class Stored:
    """What the tests of this file ask for: seven sets, and one with all kinds of flow."""

    word: str
    sets: list[str]
    full_set: str
    flows: dict[str, str]
    group: str
    definitions: list[str]


@pytest.fixture(scope="module")
async def stored(service: Api) -> Stored:
    """Entities that a word of their own finds among those of other tests."""
    word = f"q{uuid.uuid4().hex[:10]}"
    sets = []
    for number in range(7):
        organisations = {
            "@odata.type": f"{NAMESPACE}basicFilter",
            "attribute": "orgExternalId",
            "in": [str(number), "x"],
        }
        body = {
            "displayName": f"{word} No {number}",
            "filter": organisations if number % 2 else None,
        }
        created = await service.post(service.sets, body)
        assert created.status == 201, created.text
        sets.append(created.json()["id"])
    flows = {}
    for name in NAMES:
        created = await service.create(sets[0], name)
        flow = Flow(service, sets[0], created.json()["id"], "")
        await flow.until_status("ready")
        flows[name] = flow.id
    group = await service.new_role_group("nurse", name=f"{word} helpers")
    definitions = []
    for number in range(3):
        definition: dict[str, object] = {
            "referenceType": "RefRace",
            "displayName": f"{word} entry {number}",
            "code": f"{word}-{number}",
            "isDisabled": number == 2,
            "sortIndex": sort_index(),
        }
        created = await service.post(service.definitions, definition)
        assert created.status == 201, created.text
        definitions.append(created.json()["id"])
    return Stored(word, sets, sets[0], flows, group, definitions)


def collection(service: Api, stored: Stored, name: str) -> str:
    """The address of a collection."""
    return {
        "sets": service.sets,
        "flows": f"{service.set(stored.full_set)}/provisioningFlows",
        "groups": service.groups,
        "definitions": service.definitions,
    }[name]


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
    url, options = collection(service, stored, name), filled(options, stored)
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
    url = collection(service, stored, name)
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
    url = f"{collection(service, stored, name)}/$count"
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
    answer = await service.get(collection(service, stored, name) + path, {option: value})
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
        "displayName",
        "provisioningFlows@odata.context",
        "provisioningFlows",
    ]
    assert [list(flow) for flow in entity["provisioningFlows"]] == [
        ["@odata.type", "id", "readinessStatus"]
    ] * 4
    assert [flow["id"] for flow in entity["provisioningFlows"]] == sorted(stored.flows.values())


# --- pages -------------------------------------------------------------------------------------


async def follow(service: Api, answer: Any, between: Any = None) -> list[list[str]]:
    """All pages from one on, by their links; `between` happens before each next one."""
    pages = [[entity["id"] for entity in answer["value"]]]
    while "@odata.nextLink" in answer:
        if between is not None:
            await between()
        following = await service.get(answer["@odata.nextLink"])
        assert following.status == 200, following.text
        answer = following.json()
        pages.append([entity["id"] for entity in answer["value"]])
    return pages


@pytest.mark.parametrize("order", ["displayName", "displayName desc", "createdDateTime desc", "id"])
async def test_pages_stay_put_while_sets_are_added(
    service: Api, stored: Stored, order: str
) -> None:
    added: list[str] = []

    async def add() -> None:
        for number in ("No -", "No 35", "No 9"):
            added.append(await service.new_set(f"{stored.word} {number}"))

    options = {"$filter": f"startswith(displayName,'{stored.word}')", "$orderby": order}
    first = await service.get(service.sets, options, Prefer="odata.maxpagesize=2")
    assert first.headers["Preference-Applied"] == "odata.maxpagesize=2"
    before = (await service.get(service.sets, options)).json()["value"]
    pages = await follow(service, first.json(), add)
    for each in added:
        assert (await service.delete(service.set(each))).status == 204
    served = [each for page in pages for each in page]
    assert all(len(page) == 2 for page in pages[:-1])
    assert len(set(served)) == len(served)
    assert [each for each in served if each not in added] == [each["id"] for each in before]


@pytest.mark.parametrize("top", [1, 2, 3, 6, 7, 9])
async def test_top_is_the_size_of_a_page(service: Api, stored: Stored, top: int) -> None:
    options = {"$search": f'"{stored.word} No"', "$orderby": "displayName", "$top": top}
    first = (await service.get(service.sets, options | {"$count": "true"})).json()
    assert first["@odata.count"] == 7
    pages = await follow(service, first)
    assert pages == [stored.sets[start : start + top] for start in range(0, 7, top)]


async def test_skip_counts_once(service: Api, stored: Stored) -> None:
    options = {"$search": f'"{stored.word} No"', "$orderby": "displayName", "$skip": 3}
    first = await service.get(service.sets, options, Prefer="maxpagesize=2")
    assert await follow(service, first.json()) == [stored.sets[3:5], stored.sets[5:7]]


@pytest.mark.parametrize("name", ["flows", "groups", "definitions"])
async def test_other_collections_have_pages_too(service: Api, stored: Stored, name: str) -> None:
    url = collection(service, stored, name)
    first = await service.get(url, {"$top": 4}, Prefer="odata.maxpagesize=3")
    pages = await follow(service, first.json())
    whole = [
        each for page in await follow(service, (await service.get(url)).json()) for each in page
    ]
    assert [each for page in pages for each in page] == whole
    assert {len(page) for page in pages[:-1]} <= {3}


async def next_link(service: Api, stored: Stored, name: str = "sets") -> str:
    """The link behind a first page of two."""
    url = collection(service, stored, name)
    first = await service.get(url, {"$orderby": "id"}, Prefer="maxpagesize=2")
    link: str = first.json()["@odata.nextLink"]
    return link


async def test_a_tampered_token_is_refused(service: Api, stored: Stored) -> None:
    link = await next_link(service, stored)
    [token] = parse_qs(urlsplit(link).query)["$skiptoken"]
    for at in (0, 5, 20, len(token) // 2, len(token) - 2):
        other = "A" if token[at] != "A" else "B"
        answer = await service.get(link.replace(token, token[:at] + other + token[at + 1 :]))
        error = assert_envelope(answer, 400, "BadRequest")
        assert error["details"][0]["code"] == "InvalidToken"
    assert (await service.get(link)).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("$orderby=id", "$orderby=displayName"),
        ("$orderby=id", "$orderby=id%20desc"),
        ("$orderby=id", "$orderby=id&$filter=id%20ne%20null"),
        ("$orderby=id", "$orderby=id&$skip=5"),
        ("outboundProvisioningFlowSets", "roleGroups"),
        ("outboundProvisioningFlowSets", "referenceDefinitions"),
    ],
)
async def test_a_token_counts_for_its_own_request_only(
    service: Api, stored: Stored, old: str, new: str
) -> None:
    link = await next_link(service, stored)
    assert old in link
    error = assert_envelope(await service.get(link.replace(old, new)), 400, "BadRequest")
    assert error["details"][0]["code"] == "InvalidToken"


async def test_a_token_of_one_sets_flows_is_refused_for_anothers(
    service: Api, stored: Stored
) -> None:
    link = await next_link(service, stored, "flows")
    answer = await service.get(link.replace(stored.full_set, stored.sets[1]))
    assert_envelope(answer, 400, "BadRequest")


async def test_select_may_change_between_pages(service: Api, stored: Stored) -> None:
    link = await next_link(service, stored)
    answer = await service.get(f"{link}&$select=id")
    assert json.dumps([list(entity) for entity in answer.json()["value"]]) == '[["id"], ["id"]]'
