"""If-Match, If-None-Match and ETags on every entity: what is sent again, what is written."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import Answer, Api, Flow, assert_envelope, ready_flow_of, sort_index
from tests.support.bodies import bound_to
from tests.support.cosmos import CosmosFaults
from tests.support.waiting import until

FULL = "application/json;odata.metadata=full"
RENAMED = {"displayName": "Renamed"}


@dataclass(frozen=True)
class Entity:
    """An entity of the test's own: where it is, and a change of it."""

    api: Api
    url: str
    change: dict[str, Any]

    async def tag(self) -> str:
        """Its ETag now."""
        answer = await self.api.get(self.url, Accept=FULL)
        assert answer.status == 200, answer.text
        tag: str = answer.json()["@odata.etag"]
        assert answer.headers["ETag"] == tag
        return tag

    async def write(self, method: str, **headers: str) -> Answer:
        """PATCH, DELETE or reset it under the conditions of headers."""
        method, _, action = method.partition(" ")
        body = json.dumps(self.change).encode() if method == "PATCH" else None
        return await self.api.send(method, self.url + action, body, **headers)


async def new_definition(service: Api) -> str:
    """The address of a new reference definition."""
    code = uuid.uuid4().hex
    body = {"referenceType": "RefRace", "code": code, "isDisabled": False}
    answer = await service.post(service.definitions, {**body, "sortIndex": sort_index()})
    assert answer.status == 201, answer.text
    return str(answer.headers["Location"])


async def new_entity(service: Api, kind: str) -> Entity:
    """A settled entity of one kind."""
    if kind == "flow":
        flow = await service.new_flow()
        await flow.until_status("ready")
        options = {"createBasedOnOrg": True, "createBasedOnOrgPlusRoleGroup": False}
        return Entity(service, flow.url, {"creationOptions": options})
    if kind == "set":
        return Entity(service, service.set(await service.new_set()), RENAMED)
    if kind == "role group":
        return Entity(service, f"{service.groups}/{await service.new_role_group('nurse')}", RENAMED)
    return Entity(service, await new_definition(service), RENAMED)


KINDS = ["set", "flow", "role group", "definition"]


@pytest.fixture(params=KINDS)
async def entity(request: pytest.FixtureRequest, service: Api) -> Entity:
    """An entity of each kind."""
    return await new_entity(service, request.param)


# --- reading -----------------------------------------------------------------------------------


async def test_no_etag_unless_it_is_asked_for(service: Api, entity: Entity) -> None:
    plain = await service.get(entity.url)
    assert "ETag" not in plain.headers
    assert "@odata.etag" not in plain.json()
    conditional = await service.get(entity.url, If_None_Match='"another"')
    assert conditional.status == 200
    control = [name for name in conditional.json() if name.startswith("@odata.")]
    assert control in (
        ["@odata.context", "@odata.etag"],
        ["@odata.context", "@odata.type", "@odata.etag"],
    )
    assert conditional.json()["@odata.etag"] == await entity.tag()


async def test_what_was_read_is_not_sent_again_until_it_changes(
    service: Api, entity: Entity
) -> None:
    tag = await entity.tag()
    for given in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        answer = await service.get(entity.url, If_None_Match=given)
        assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", tag)
    assert (await entity.write("PATCH")).status == 204
    assert (await service.get(entity.url, If_None_Match=tag)).status == 200


async def test_a_read_of_another_version_than_if_match_names_is_412(
    service: Api, entity: Entity
) -> None:
    for given in (await entity.tag(), "*"):
        assert (await service.get(entity.url, If_Match=given)).status == 200
    refused = await service.get(entity.url, If_Match='W/"another.one"')
    assert_envelope(refused, 412, "PreconditionFailed")


# --- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *((kind, method) for kind in KINDS for method in ("PATCH", "DELETE")),
        ("flow", "POST /reset"),
    ],
)
async def test_a_write_under_a_false_condition_is_412_and_changes_nothing(
    service: Api, kind: str, method: str
) -> None:
    entity = await new_entity(service, kind)
    before = await service.get(entity.url, Accept=FULL)
    tag = before.headers["ETag"]
    for condition in (
        {"If_Match": 'W/"another.one"'},
        {"If_Match": tag.replace(".", "", 1)},
        {"If_Match": tag.replace('"', "")},
        {"If_None_Match": tag},
        {"If_None_Match": "*"},
    ):
        refused = await entity.write(method, **condition)
        assert_envelope(refused, 412, "PreconditionFailed")
    assert (await service.get(entity.url, Accept=FULL)).text == before.text
    answer = await entity.write(method, If_Match=f'"x", {tag}', If_None_Match='"x"')
    assert answer.status in (202, 204)
    if method != "DELETE":
        assert await entity.tag() != tag


async def test_a_version_that_was_written_over_is_412(entity: Entity) -> None:
    old = await entity.tag()
    assert (await entity.write("PATCH", If_Match="*")).status == 204
    for method in ("PATCH", "DELETE"):
        assert_envelope(await entity.write(method, If_Match=old), 412, "PreconditionFailed")


# A flow's readiness changes it at once.
@pytest.mark.parametrize("kind", ["set", "role group", "definition"])
async def test_the_etag_of_an_answer_to_a_write_is_good_for_the_next(
    service: Api, kind: str
) -> None:
    entity = await new_entity(service, kind)
    answer = await entity.write("PATCH", Prefer="return=representation", Accept=FULL)
    assert answer.headers["ETag"] == await entity.tag()
    assert (await entity.write("PATCH", If_Match=answer.headers["ETag"])).status == 204


async def test_the_etag_of_a_new_entity_is_good_for_the_next_write(service: Api) -> None:
    code = uuid.uuid4().hex
    definition = {"referenceType": "RefRace", "code": code, "isDisabled": False}
    for url, body in (
        (service.sets, RENAMED),
        (service.groups, {**RENAMED, "roles": [{"code": "nurse"}]}),
        (service.definitions, {**definition, "sortIndex": sort_index()}),
    ):
        made = await service.post(url, body, Accept=FULL)
        made_at, tag = made.headers["Location"], made.headers["ETag"]
        assert (await service.patch(made_at, RENAMED, If_Match=tag)).status == 204


LOST = {"drop": True, "after": True}


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("set", "patch"),
        ("flow", "patch"),
        ("role group", "replace"),
        ("definition", "replace"),
    ],
)
async def test_a_write_whose_stored_answer_is_lost_counts_once_and_is_not_refused(
    service: Api, cosmos_faults: CosmosFaults, kind: str, operation: str
) -> None:
    entity = await new_entity(service, kind)
    tag = await entity.tag()
    async with cosmos_faults(operation=operation, **LOST):
        answer = await entity.write("PATCH", If_Match=tag)
    assert answer.status == 204, answer.text
    printed = (await service.get(entity.url)).json()
    assert {name: printed[name] for name in entity.change} == entity.change
    if kind == "flow":
        history = (await service.get(f"{entity.url}/readinessHistory")).json()["value"]
        assert max(entry["revision"] for entry in history) == 2


# --- what others change ------------------------------------------------------------------------


@pytest.fixture
async def group(service: Api) -> Entity:
    """A role group."""
    return await new_entity(service, "role group")


async def test_a_renamed_role_group_changes_what_is_read_of_a_flow_and_not_the_flow(
    service: Api, group: Entity
) -> None:
    flow = await ready_flow_of(service, bound_to(group.url.rpartition("/")[2]))
    printed = Entity(service, flow.url, {"createUnmatchedUsers": False})
    old = await printed.tag()
    assert (await group.write("PATCH")).status == 204

    async def renamed() -> bool:
        return "Renamed" in (await service.get(flow.url)).text

    await until(renamed, "the flow shows the role group's new name")
    assert (await service.get(flow.url, If_None_Match=old)).status == 200
    assert await printed.tag() != old
    assert (await printed.write("PATCH", If_Match=old)).status == 204


async def test_an_expanded_flow_changes_what_is_read_of_a_set_and_not_the_set(
    service: Api, ready_flow: Flow
) -> None:
    options = {"$expand": "provisioningFlows($select=id,readinessStatus)"}
    url = service.set(ready_flow.set_id)
    old = (await service.get(url, options, Accept=FULL)).headers["ETag"]
    assert (await service.get(url, options, If_None_Match=old)).status == 304
    change = {
        "creationOptions": {"createBasedOnOrg": False, "createBasedOnOrgPlusRoleGroup": False}
    }
    assert (await service.patch(ready_flow.url, change)).status == 204
    await ready_flow.until_status("disabled")
    assert (await service.get(url, options, If_None_Match=old)).status == 200
    assert (await service.patch(url, RENAMED, If_Match=old)).status == 204


async def test_a_new_password_changes_a_flow_although_it_is_printed_the_same(service: Api) -> None:
    group_id = await service.new_role_group("nurse")
    flow = await ready_flow_of(service, bound_to(group_id))
    entity = Entity(service, flow.url, json.loads(bound_to(group_id)))
    old = await entity.tag()
    assert (await entity.write("PATCH")).status == 204
    await flow.until_status("ready")
    assert await entity.tag() != old
    assert_envelope(await entity.write("PATCH", If_Match=old), 412, "PreconditionFailed")
