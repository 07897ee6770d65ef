"""Passwords: who reads them in clear and what that leaves, and that they are nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.cosmos.aio import ContainerProxy
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from local.access_token import application_token
from local.config import READINESS_QUEUE, ROOT
from local.issuer import LOCAL_CLIENT, LOCAL_SERVICE_PRINCIPAL
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.adapters.keyring import Keyring
from shared.domain import permissions
from shared.domain.context import LOCAL_TENANT
from shared.domain.permissions import PASSWORD_READ_ROLE
from tests.support.api import UNKNOWN, Answer, Api, Flow, assert_envelope
from tests.support.bodies import request_body
from tests.support.documents import blocks
from tests.support.sealed import FORMER_KEY
from tests.support.waiting import until

SIMPLE = "#microsoft.graph.industryData.simplePasswordSettings"
OLD_KEY = f"old:{base64.b64encode(b'o' * 32).decode()}"
OTHER_ROLES = sorted(
    {
        role
        for each in vars(permissions).values()
        if isinstance(each, permissions.Permission)
        for role in each.application
    }
    - {PASSWORD_READ_ROLE}
)


def canary() -> str:
    """A password that is nowhere yet and that the rules for passwords allow."""
    return f"Canary1{secrets.token_hex(12)}"


def user_body(*passwords: str) -> dict[str, Any]:
    """The published user flow, with other passwords."""
    body: dict[str, Any] = json.loads(request_body("user"))
    entries = body["creationOptions"]["configurations"]
    for entry, password in zip(entries, passwords, strict=True):
        entry["defaultPasswordSettings"]["password"] = password
    return body


async def new_flow(service: Api, *passwords: str) -> Flow:
    """A ready user flow in a set of its own, with these passwords."""
    set_id = await service.new_set()
    created = await service.post(service.flows(set_id), user_body(*passwords))
    assert created.status == 201, created.text
    flow = Flow(service, set_id, created.json()["id"], "userProvisioningFlow")
    await flow.until_status("ready")
    return flow


async def read_passwords(service: Api, flow: Flow, **headers: str) -> Answer:
    """Ask for a flow's passwords in clear."""
    return await service.send("POST", f"{flow.url}/readPasswords", None, **headers)


def entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The sealed passwords of the stored user flow."""
    flow = document["flows"]["userProvisioningFlow"]
    configurations = flow["configuration"]["creationOptions"]["configurations"]
    return [entry["defaultPasswordSettings"] for entry in configurations]


def reseal(document: dict[str, Any], ring: Keyring, other: Keyring) -> None:
    """Seal the passwords of the stored user flow with another ring."""
    flow = document["flows"]["userProvisioningFlow"]
    for entry in flow["configuration"]["creationOptions"]["configurations"]:
        settings, owner = entry["defaultPasswordSettings"], (flow["id"], entry["roleGroup"])
        settings["password"] = other.seal(ring.open(settings["password"], *owner), *owner)


@pytest.fixture(scope="module")
async def engine(stack: Stack, api: str) -> AsyncIterator[Api]:
    """The service for a provisioning engine: it may read passwords, and nothing else."""
    token = application_token(stack.config, PASSWORD_READ_ROLE)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield Api(session, api)


# --- reading -----------------------------------------------------------------------------------


async def test_the_engine_reads_each_role_groups_password(service: Api, engine: Api) -> None:
    first, second = canary(), canary()
    flow = await new_flow(service, first, second)
    answer = await read_passwords(engine, flow)
    assert answer.status == 200
    body = answer.json()
    assert list(body) == ["@odata.context", "value"]
    assert body["@odata.context"].endswith(
        "$metadata#Collection(microsoft.graph.industryData.initialPassword)"
    )
    assert body["value"] == [
        {"roleGroup": "staff", "password": first},
        {"roleGroup": "students", "password": second},
    ]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_answer_in_the_guide_is_what_the_engine_gets(service: Api, engine: Api) -> None:
    _, shown = blocks(ROOT / "docs" / "provisioning-engine.md", "json")
    answer = await read_passwords(engine, await new_flow(service, *["as it was sent 1A"] * 2))
    assert answer.json() == json.loads(shown.replace("as it was sent", "as it was sent 1A"))


async def test_the_engines_role_opens_nothing_else(engine: Api, set_id: str) -> None:
    for url in (engine.sets, engine.set(set_id), engine.flows(set_id), engine.groups):
        assert_envelope(await engine.get(url), 403, "Authorization_RequestDenied")


async def test_all_other_roles_together_do_not_open_passwords(stack: Stack, service: Api) -> None:
    assert len(OTHER_ROLES) >= 5
    password = canary()
    flow = await new_flow(service, password, password)
    token = application_token(stack.config, *OTHER_ROLES)
    answer = await read_passwords(service, flow, authorization=f"Bearer {token}")
    assert_envelope(answer, 403, "Authorization_RequestDenied")
    assert password not in answer.text


async def records(stack: Stack, flow: Flow) -> list[tuple[str, dict[str, Any]]]:
    """The names and contents of what was recorded of a flow's passwords."""
    found = []
    async with BlobServiceClient.from_connection_string(stack.config.storage_connection) as storage:
        container = storage.get_container_client("password-readings")
        if not await container.exists():
            return []
        async for name in container.list_blob_names():
            content = json.loads(await (await container.download_blob(name)).readall())
            if content["flowId"] == flow.id:
                found.append((name, content))
    return found


async def test_each_reading_leaves_a_record_and_a_line_that_name_the_caller(
    service: Api, engine: Api, stack: Stack
) -> None:
    password = canary()
    flow = await new_flow(service, password, password)
    trace_id = secrets.token_hex(16)
    answer = await read_passwords(engine, flow, traceparent=f"00-{trace_id}-{'1' * 16}-01")
    assert answer.status == 200
    found: list[dict[str, Any]] = []

    async def is_logged() -> bool:
        log = stack.log_file("host").read_text("utf-8", errors="replace")
        lines = [line for line in log.splitlines() if trace_id in line and "{" in line]
        found[:] = [json.loads(line[line.index("{") :]) for line in lines]
        return len(found) >= 2

    await until(is_logged, "the reading is in the log")
    caller = {
        "kind": "application",
        "tenant": LOCAL_TENANT,
        "object_id": LOCAL_SERVICE_PRINCIPAL,
        "app_id": LOCAL_CLIENT,
    }
    [audit] = [line for line in found if line["event"] == "passwordsRead"]
    recorded = audit.pop("record")
    assert audit == {
        "event": "passwordsRead",
        "flowSetId": flow.set_id,
        "flowId": flow.id,
        "caller": caller,
        "count": 2,
        "tenant": LOCAL_TENANT,
        "traceId": trace_id,
    }
    [request] = [line for line in found if line["event"] == "request"]
    assert (request["operation"], request["caller"]) == ("read_passwords", caller)

    [(name, record)] = await records(stack, flow)
    assert name == recorded
    at = datetime.fromisoformat(record.pop("time"))
    assert name.startswith(f"{LOCAL_TENANT}/{at:%Y/%m/%d/%H%M%S}-")
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=2)
    assert record == {
        "tenant": LOCAL_TENANT,
        "flowSetId": flow.set_id,
        "flowId": flow.id,
        "roleGroups": ["staff", "students"],
        "caller": caller,
        "traceparent": f"00-{trace_id}-{'1' * 16}-01",
    }


async def test_each_reading_is_recorded_by_itself(service: Api, engine: Api, stack: Stack) -> None:
    flow = await new_flow(service, canary(), canary())
    answers = await asyncio.gather(*(read_passwords(engine, flow) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert len(await records(stack, flow)) == 5


async def test_a_refused_reading_leaves_no_record(service: Api, stack: Stack) -> None:
    flow = await new_flow(service, canary(), canary())
    token = application_token(stack.config, *OTHER_ROLES)
    answer = await read_passwords(service, flow, authorization=f"Bearer {token}")
    assert answer.status == 403
    assert await records(stack, flow) == []


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group"])
async def test_a_flow_of_another_kind_has_no_passwords(
    service: Api, engine: Api, name: str
) -> None:
    answer = await read_passwords(engine, await service.new_flow(name))
    assert (answer.status, answer.json()["value"]) == (200, [])


async def test_the_passwords_of_what_does_not_exist_are_not_found(
    service: Api, engine: Api
) -> None:
    flow = await service.new_flow("user")
    for set_id, flow_id in ((UNKNOWN, flow.id), (flow.set_id, UNKNOWN), (flow.set_id, "x")):
        answer = await read_passwords(engine, Flow(engine, set_id, flow_id, flow.kind))
        assert_envelope(answer, 404, "Request_ResourceNotFound")


async def test_passwords_are_not_read_by_get(service: Api, engine: Api) -> None:
    flow = await service.new_flow("user")
    answer = await engine.get(f"{flow.url}/readPasswords")
    assert_envelope(answer, 405, "Request_MethodNotAllowed")
    assert answer.headers["Allow"] == "OPTIONS, POST"


async def test_a_password_whose_key_is_gone_is_answered_without_it(
    service: Api, engine: Api, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    password = canary()
    flow = await new_flow(service, password, password)
    document = dict(await stored_sets.read_item(flow.set_id, LOCAL_TENANT))
    old = Keyring.read(OLD_KEY, LOCAL_TENANT)
    reseal(document, keyring, old)
    await stored_sets.replace_item(flow.set_id, document)
    try:
        answer = await read_passwords(engine, flow)
        message = assert_envelope(answer, 409, "Conflict")["message"]
        assert "sealed by the key 'old', which PASSWORD_KEYS does not hold" in message
        sealed = entries(document)[0]["password"]["sealed"]
        assert not any(secret in answer.text for secret in (password, sealed, "oooo"))
    finally:
        # Else a later rotation of keys would find a password without its key.
        await service.delete(service.set(flow.set_id))


async def test_a_password_moved_from_another_flow_does_not_open(
    service: Api, engine: Api, stored_sets: ContainerProxy
) -> None:
    password = canary()
    source = await new_flow(service, password, password)
    target = await new_flow(service, canary(), canary())
    taken = entries(dict(await stored_sets.read_item(source.set_id, LOCAL_TENANT)))
    document = dict(await stored_sets.read_item(target.set_id, LOCAL_TENANT))
    entries(document)[0]["password"] = taken[0]["password"]
    await stored_sets.replace_item(target.set_id, document)
    answer = await read_passwords(engine, target)
    assert "Set a new password" in assert_envelope(answer, 409, "Conflict")["message"]
    assert password not in answer.text


# --- nowhere else ------------------------------------------------------------------------------


def forms(secret: str) -> dict[str, bytes]:
    """How a text may lie in a file: as it is, in other encodings, in base64 at any offset."""
    found = {"utf-8": secret.encode(), "hex": secret.encode().hex().encode()}
    for codec in ("utf-16-le", "utf-16-be"):
        found[codec] = secret.encode(codec)
    for offset in range(3):
        # Only the characters that do not depend on what stands around it.
        encoded = base64.b64encode(b"\0" * offset + secret.encode())
        found[f"base64 at {offset}"] = encoded[4 * (offset > 0) : -4]
    return found


def haystacks(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_search_for_a_password_finds_it_in_every_form() -> None:
    secret = secrets.token_hex(12)
    for before in ("", "a", "ab"):
        for encode in (
            lambda text: text.encode(),
            lambda text: text.encode("utf-16-le"),
            lambda text: text.encode("utf-16-be"),
            lambda text: base64.b64encode(text.encode()),
            lambda text: text.encode().hex().encode(),
        ):
            hay = encode(f"{before}{secret}cd")
            assert any(needle in hay for needle in forms(secret).values())


class Canaries:
    """Passwords by what was done with them."""

    def __init__(self) -> None:
        self.created, self.updated, self.rotated, self.refused = (canary() for _ in range(4))
        # Its sender puts that one into the queue's own file, of which SQLite keeps freed pages for
        # a while. No other test may take it over from there.
        self.sent = canary()


async def refuse(service: Api, flow: Flow, password: str) -> list[Answer]:
    """Send a password in places where it is not taken; return what came back."""
    url = service.flows(flow.set_id)
    settings = {"@odata.type": SIMPLE, "password": password}
    wrong: list[Any] = [
        {**settings, "password": [password]},
        {**settings, "password": {"a": password}},
        {**settings, "password": password * 20},
        {**settings, "password": password + "\u0000"},
        {**settings, "PASSWORD": password},
        {**settings, "@odata.type": "#microsoft.graph.industryData.passwordSettings"},
        password,
    ]
    answers = []
    for each in wrong:
        body = user_body(password, password)
        body["creationOptions"]["configurations"][0]["defaultPasswordSettings"] = each
        for method, where in (("POST", url), ("PATCH", flow.url)):
            answers.append(await service.send(method, where, json.dumps(body).encode()))
            assert answers[-1].status == 400, (method, each, answers[-1].text)
    whole = json.dumps(user_body(password, password)).encode()
    answers.append(await service.send("POST", url, whole))
    assert answers[-1].status == 409
    answers.append(await service.send("POST", service.flows(UNKNOWN), whole))
    assert answers[-1].status == 404
    for broken in (whole[:-2], whole + b"x", b"[" + whole + b"]", whole.replace(b"{", b"{{")):
        answers.append(await service.send("POST", url, broken))
        assert answers[-1].status == 400
    answers.append(await service.send("POST", url, whole, authorization=f"Bearer {password}"))
    assert answers[-1].status == 401
    return answers


async def send_broken_events(
    client: ServiceBusClient, archive: Archive, flow: Flow, password: str
) -> None:
    """Send events that hold a password and cannot be processed; wait until all are archived."""
    about = {"flowId": flow.id, "revision": 1, "readinessStatus": "notReady"}
    entry = {"defaultPasswordSettings": {"@odata.type": SIMPLE, "password": password}}
    at = datetime.now(UTC)
    messages = [
        flow.event("readinessReported", str(uuid.uuid4()), at, {**about, "password": password}),
        flow.event(
            "readinessCheckRequested",
            str(uuid.uuid4()),
            at,
            {"revision": "1", "configuration": {"creationOptions": {"configurations": [entry]}}},
        ),
        ServiceBusMessage(f'{{"password": "{password}"', message_id=str(uuid.uuid4())),
        ServiceBusMessage(json.dumps([entry]), message_id=str(uuid.uuid4())),
    ]
    async with client.get_queue_sender(READINESS_QUEUE) as sender:
        await sender.send_messages(messages)
    wanted = {message.message_id for message in messages}

    async def archived() -> bool:
        names = [name async for name in archive.names()]
        return wanted <= {(await archive.read(name))["messageId"] for name in names}

    await until(archived, "the broken events are archived")


async def rotate(service: Api, stored: ContainerProxy, keys: str, flow: Flow) -> None:
    """Seal a flow's passwords as if by the former key, and then by the present one."""
    document = dict(await stored.read_item(flow.set_id, LOCAL_TENANT))
    reseal(document, Keyring.read(keys, LOCAL_TENANT), Keyring.read(FORMER_KEY, LOCAL_TENANT))
    await stored.replace_item(flow.set_id, document)
    answer = await service.post(f"{service.industry_data}/resealPasswords", {})
    assert answer.status == 200, answer.text
    assert answer.json()["passwords"] >= 2


async def test_canary_passwords_are_found_nowhere(
    service: Api,
    engine: Api,
    stack: Stack,
    stored_sets: ContainerProxy,
    service_bus_client: ServiceBusClient,
    password_keys: str,
) -> None:
    canaries = Canaries()
    answers: list[Answer] = []
    flow = await new_flow(service, canaries.created, canaries.created)
    changed = user_body(canaries.updated, canaries.updated)
    answers.append(await service.patch(flow.url, changed, prefer="return=representation"))
    assert answers[-1].status == 200, answers[-1].text
    await flow.until_status("ready")
    rotated = await new_flow(service, canaries.rotated, canaries.rotated)
    await rotate(service, stored_sets, password_keys, rotated)
    for each, password in ((flow, canaries.updated), (rotated, canaries.rotated)):
        read = await read_passwords(engine, each)
        assert [one["password"] for one in read.json()["value"]] == [password] * 2
        answers += [
            await service.get(each.url),
            await service.get(f"{each.url}/readinessHistory"),
            await service.get(service.flows(each.set_id)),
            await service.get(service.set(each.set_id), {"$expand": "provisioningFlows"}),
        ]
    answers += await refuse(service, flow, canaries.refused)
    async with BlobServiceClient.from_connection_string(stack.config.storage_connection) as storage:
        archive = Archive(storage, LOCAL_TENANT)
        await send_broken_events(service_bus_client, archive, flow, canaries.sent)

    # What is in the files now can be found: the flow's id, and a message that still waits.
    marker, later = canary(), datetime.now(UTC) + timedelta(minutes=30)
    async with service_bus_client.get_queue_sender(READINESS_QUEUE) as sender:
        waiting = await sender.schedule_messages(ServiceBusMessage(marker), later)
        files = haystacks(stack.config.local_state)
        await sender.cancel_scheduled_messages(waiting)
    found_in = {"cosmos": flow.id, "logs": flow.id, "azurite": flow.id, "service_bus": marker}
    for folder, known in found_in.items():
        holders = [name for name, hay in files.items() if known.encode() in hay]
        assert any(name.startswith(folder) for name in holders), (folder, sorted(files))
    hays = {f"answer {at}": f"{a.text} {a.headers}".encode() for at, a in enumerate(answers)}
    for what, password in vars(canaries).items():
        searched = {
            name: hay
            for name, hay in {**files, **hays}.items()
            if what != "sent" or not name.startswith("service_bus")
        }
        for form, needle in forms(password).items():
            found = [name for name, hay in searched.items() if needle in hay]
            assert found == [], f"what was {what} is there in {form}"


# --- no record, no password (last, since it stops a part of the stack) -------------------------


async def test_without_a_record_no_password_is_given(
    service: Api, engine: Api, stack: Stack
) -> None:
    password = canary()
    flow = await new_flow(service, password, password)
    await asyncio.to_thread(stack.kill, "azurite")
    try:
        answer = await read_passwords(engine, flow)
    finally:
        await asyncio.to_thread(stack.start, "azurite")
    assert_envelope(answer, 503, "serviceNotAvailable")
    assert "Retry-After" in answer.headers
    assert password not in answer.text

    assert (await read_passwords(engine, flow)).status == 200
    assert len(await records(stack, flow)) == 1
