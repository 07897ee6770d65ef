"""The operators' commands, run as processes against the running stack."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from local import admin
from local.config import READINESS_QUEUE, ROOT
from local.settings import example_values
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.services.dead_letters import replay_id
from tests.support.api import UNKNOWN, Api, Flow, event_outcomes, until

SECONDS = 60.0
OLD_KEY = f"old:{base64.b64encode(b'o' * 32).decode()}"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Admin:
    """Runs `python -m local.admin` with the settings of the stack."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings

    async def start(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        """Start a command."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local.admin", *arguments),
            cwd=ROOT,
            env={**os.environ, **self.settings, **settings, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, **settings: str) -> Ran:
        """Run a command to its end."""
        process = await self.start(*arguments, **settings)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def run_admin(stack: Stack, password_keys: str) -> Admin:
    settings = {**example_values(), **stack.config.app_settings(), "PASSWORD_KEYS": password_keys}
    return Admin(settings)


@pytest.fixture(scope="module")
async def archive(stack: Stack) -> AsyncIterator[Archive]:
    async with BlobServiceClient.from_connection_string(stack.config.storage_connection) as storage:
        yield Archive(storage)


WRONG: dict[str, list[str]] = {
    "no command": [],
    "another command": ["delete-everything"],
    "a day in words": ["dead-letters", "list", "--day", "today"],
    "a name outside the archive": ["dead-letters", "show", "../replays/x.json"],
    "no reason to discard": ["dead-letters", "discard", "--all"],
    "an empty reason": ["dead-letters", "discard", "--all", "--reason", " "],
    "a long reason to discard": ["dead-letters", "discard", "--all", "--reason", "x" * 1025],
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_line_is_refused_before_anything_is_asked(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        admin.main(WRONG[case])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


async def test_missing_settings_are_one_sentence(run_admin: Admin) -> None:
    ran = await run_admin.run("dead-letters", "list", READINESS_QUEUE="")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Set READINESS_QUEUE.")
    assert ran.err.count("\n") == 1


NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "setting", "value"),
    [
        (
            ["dead-letters", "list"],
            "AzureWebJobsStorage",
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
            f"BlobEndpoint={NOBODY}/devstoreaccount1;",
        ),
    ],
    ids=["storage"],
)
async def test_a_service_that_does_not_answer_is_one_sentence(
    run_admin: Admin, arguments: list[str], setting: str, value: str
) -> None:
    ran = await run_admin.run(*arguments, **{setting: value})
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith("Is the stack running? `make run` starts it.\n")
    assert ran.err.count("\n") == 1


# --- dead letters -------------------------------------------------------------------------------


class DeadLetters:
    """Makes dead letters and finds them in the archive."""

    def __init__(self, client: ServiceBusClient, archive: Archive) -> None:
        self.client, self.archive = client, archive

    async def make(self, *messages: ServiceBusMessage) -> list[str]:
        """Send messages that cannot be understood; return the names they are archived by."""
        async with self.client.get_queue_sender(READINESS_QUEUE) as sender:
            await sender.send_messages(list(messages))
        return [await self.name_of(str(message.message_id)) for message in messages]

    async def name_of(self, message_id: str) -> str:
        """Wait until a message is archived; return its name."""
        found: list[str] = []

        async def there() -> bool:
            async for name in self.archive.names():
                letter = await self.archive.read(name)
                if letter["messageId"] == message_id and name not in found:
                    found.append(name)
            return bool(found)

        await until(there, f"message {message_id} is archived")
        return found[0]


@pytest.fixture(scope="module")
def letters(service_bus_client: ServiceBusClient, archive: Archive) -> DeadLetters:
    return DeadLetters(service_bus_client, archive)


@pytest.fixture
async def flow(service: Api) -> Flow:
    """A flow that is ready."""
    made = await service.new_flow("user")
    await made.until_status("ready")
    return made


async def archived(archive: Archive, flow: Flow, **changes: Any) -> tuple[str, str]:
    """Archive a good event as a dead letter, as after an outage; return its name and event id."""
    from shared.contract.dead_letters import QueueMessage

    event_id, message = flow.report("failed", datetime.now(UTC))
    body = json.loads(b"".join(message.body)) | changes
    name = await archive.keep(
        QueueMessage(
            message_id=str(uuid.uuid4()),
            sequence_number=secrets.randbelow(10**9),
            enqueued=datetime.now(UTC),
            delivery_count=5,
            content_type="application/cloudevents+json",
            properties={"DeadLetterReason": "MaxDeliveryCountExceeded"},
            body=json.dumps(body).encode(),
        )
    )
    return name, event_id


async def test_a_dead_letter_is_listed_and_shown_with_its_reason(
    run_admin: Admin, letters: DeadLetters, flow: Flow
) -> None:
    _, message = flow.report("notReady", datetime.now(UTC))
    [name] = await letters.make(message)

    ran = await run_admin.run("dead-letters", "list", "--json", "--day", name[:10])
    [row] = [row for row in ran.json() if row["name"] == name]
    assert (row["messageId"], row["replayed"]) == (message.message_id, False)
    assert row["discarded"] is False
    assert "readinessStatus" in row["fault"]
    shown = await run_admin.run("dead-letters", "show", name)
    assert shown.json()["body"]["data"]["flowId"] == flow.id
    told = (await run_admin.run("dead-letters", "list")).out
    assert re.search(rf"^{re.escape(name)}  waiting    The message is not", told, re.MULTILINE)
    assert (await run_admin.run("dead-letters", "list", "--day", "1999/01/01")).out.startswith("0 ")


async def test_a_letter_is_put_back_once(
    stack: Stack, run_admin: Admin, archive: Archive, flow: Flow
) -> None:
    name, event_id = await archived(archive, flow)
    first = await run_admin.run("dead-letters", "replay", name)
    assert (first.code, first.out) == (0, f"{name}  put back\n1 put back, 0 not.\n")
    assert await event_outcomes(stack, event_id) == ["applied"]
    await flow.until_status("failed")

    second = await run_admin.run("dead-letters", "replay", name, "--json")
    assert second.code == 1
    [refused] = second.json()
    assert refused["putBack"] is False
    assert "--again" in refused["why"]
    listed = (await run_admin.run("dead-letters", "list", "--json")).json()
    assert [row["replayed"] for row in listed if row["name"] == name] == [True]


async def test_again_puts_it_back_and_the_queue_drops_what_it_just_had(
    stack: Stack, run_admin: Admin, archive: Archive, flow: Flow
) -> None:
    name, event_id = await archived(archive, flow)
    for _ in range(2):
        assert (await run_admin.run("dead-letters", "replay", name, "--again")).code == 0
    # Behind them in the queue; when this one was handled, both were.
    fence, _ = await archived(archive, flow)
    ran = await run_admin.run("dead-letters", "replay", fence)
    assert ran.code == 0
    await flow.until_status("failed")
    assert await event_outcomes(stack, event_id) == ["applied"]


async def test_all_puts_back_what_can_be_and_leaves_the_rest(
    stack: Stack, run_admin: Admin, archive: Archive, letters: DeadLetters, flow: Flow
) -> None:
    _, faulty = flow.report("notReady", datetime.now(UTC))
    no_json = ServiceBusMessage(b"no event", message_id=str(uuid.uuid4()))
    left = await letters.make(faulty, no_json)
    name, event_id = await archived(archive, flow)

    ran = await run_admin.run("dead-letters", "replay", "--all", "--json")
    assert (ran.code, ran.err) == (0, "")
    results = {row["name"]: row for row in ran.json()}
    assert results[name]["putBack"] is True
    assert "have its sender mend it" in results[left[0]]["why"]
    assert "have its sender send it" in results[left[1]]["why"]
    assert await event_outcomes(stack, event_id) == ["applied"]
    again = (await run_admin.run("dead-letters", "replay", "--all", "--json")).json()
    assert name not in {row["name"] for row in again}
    # What stays can still be put back later, when it can be read.
    assert not set(left) & await archive.replayed()


async def test_a_request_for_a_check_is_put_back_without_what_was_hidden(
    stack: Stack, run_admin: Admin, archive: Archive, flow: Flow
) -> None:
    about_check = {
        "type": "industryData.provisioningFlow.readinessCheckRequested",
        "data": {
            "flowSetId": flow.set_id,
            "flowId": flow.id,
            "kind": flow.kind,
            "revision": 1,
            "configuration": {"creationOptions": "[hidden]"},
        },
    }
    name, event_id = await archived(archive, flow, **about_check)
    assert (await run_admin.run("dead-letters", "replay", name)).code == 0
    # The flow is checked as it is stored: what was hidden would have made it fail.
    assert await event_outcomes(stack, event_id) == ["unchanged"]


async def test_a_letter_that_could_not_be_sent_may_be_sent_later(
    stack: Stack, run_admin: Admin, archive: Archive, flow: Flow
) -> None:
    name, event_id = await archived(archive, flow)
    nowhere = (
        "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=x;SharedAccessKey=y;"
        "UseDevelopmentEmulator=true"
    )
    ran = await run_admin.run("dead-letters", "replay", name, ServiceBus=nowhere)
    assert ran.code == 1
    assert name not in await archive.replayed()
    assert (await run_admin.run("dead-letters", "replay", name)).code == 0
    assert await event_outcomes(stack, event_id) == ["applied"]


async def test_a_letter_that_does_not_exist_is_named(run_admin: Admin) -> None:
    name = "2001/01/01/000000-1.json"
    shown = await run_admin.run("dead-letters", "show", name)
    assert (shown.code, shown.out) == (1, "")
    assert name in shown.err
    assert (await run_admin.run("dead-letters", "replay", name)).code == 1


@pytest.mark.parametrize("command", [["replay"], ["discard", "--reason", "x"]])
async def test_a_command_for_letters_wants_names_or_all(
    run_admin: Admin, command: list[str]
) -> None:
    for arguments in ([], ["--all", "2001/01/01/000000-1.json"]):
        ran = await run_admin.run("dead-letters", *command, *arguments)
        assert ran.code == 1
        assert "--all" in ran.err


async def test_a_letter_is_discarded_with_a_reason_and_not_put_back_by_all(
    run_admin: Admin, archive: Archive, flow: Flow
) -> None:
    name, _ = await archived(archive, flow)
    ran = await run_admin.run("dead-letters", "discard", name, "--reason", " Sent by mistake. ")
    assert (ran.code, ran.out) == (0, f"{name}  discarded\n1 discarded, 0 not.\n")
    shown = (await run_admin.run("dead-letters", "show", name)).json()
    assert (shown["reason"], shown["body"]["data"]["flowId"]) == ("Sent by mistake.", flow.id)
    listed = (await run_admin.run("dead-letters", "list", "--json")).json()
    assert [row["discarded"] for row in listed if row["name"] == name] == [True]
    assert f"{name}  discarded  well-formed" in (await run_admin.run("dead-letters", "list")).out

    again = await run_admin.run("dead-letters", "discard", name, "--reason", "x", "--json")
    assert (again.code, again.json()[0]["discarded"]) == (1, False)
    put_back = (await run_admin.run("dead-letters", "replay", "--all", "--json")).json()
    assert name not in {row["name"] for row in put_back}
    assert await flow.status() == "ready"


async def test_all_that_wait_are_discarded(
    run_admin: Admin, archive: Archive, letters: DeadLetters, flow: Flow
) -> None:
    no_json = ServiceBusMessage(b"no event", message_id=str(uuid.uuid4()))
    [left] = await letters.make(no_json)
    name, _ = await archived(archive, flow)
    ran = await run_admin.run("dead-letters", "discard", "--all", "--reason", "Old.", "--json")
    assert ran.code == 0
    assert {left, name} <= {row["name"] for row in ran.json() if row["discarded"]}
    again = await run_admin.run("dead-letters", "discard", "--all", "--reason", "Old.")
    assert (again.code, again.out) == (0, "0 discarded, 0 not.\n")


# --- how it signs in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:41000/msi/token", "ManagedIdentityCredential"),
        ("", "DefaultAzureCredential"),
    ],
)
async def test_an_app_uses_its_identity_and_an_operator_the_signed_in_one(
    endpoint: str, expected: str
) -> None:
    code = (
        "import asyncio\n"
        "from shared import bootstrap\n"
        "async def main():\n"
        "    print(type(bootstrap._credential()).__name__)\n"
        "    await bootstrap.close()\n"
        "asyncio.run(main())\n"
    )
    azure = {
        "COSMOS_ENDPOINT": "https://contoso.documents.azure.com",
        "COSMOS_DATABASE": "industryData",
        "ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net",
        "READINESS_QUEUE": "readiness",
        "AzureWebJobsStorage__blobServiceUri": "https://contoso.blob.core.windows.net/",
        "PASSWORD_KEYS": OLD_KEY,
        "AUTH_TENANTS": UNKNOWN,
        "AUTH_AUDIENCES": "api://contoso",
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": "x",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", code),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | azure,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (out.decode().strip(), err.decode()) == (expected, "")


def test_the_id_of_a_replay_is_the_letters_own() -> None:
    of: Callable[[str], str] = replay_id
    assert of("2026/11/24/091500-17.json") == of("2026/11/24/091500-17.json")
    assert of("2026/11/24/091500-17.json") != of("2026/11/24/091500-18.json")
