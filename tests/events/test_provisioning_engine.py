"""The contract for engines: its schema, its examples and its page say what the service does."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from local.config import READINESS_QUEUE, ROOT
from local.stack import Stack
from shared.contract import events
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.catalog import CatalogChange
from shared.domain.errors import InvalidEvent, NewerEvent
from shared.domain.readiness import MAY_SET, EventType
from tests.contract.test_events import FAULTS, REPORT, REQUEST, changed, json_values
from tests.support.api import Api

PAGE = (ROOT / "docs" / "provisioning-engine.md").read_text("utf-8")
SCHEMA = json.loads((ROOT / "docs" / "readiness-event.schema.json").read_text("utf-8"))
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.json"))
VALIDATOR = Draft202012Validator(SCHEMA)


def is_valid(body: bytes) -> bool:
    """What the schema says of a message."""
    return VALIDATOR.is_valid(json.loads(body))


def is_read(body: bytes) -> bool:
    """What the service says of a message."""
    try:
        events.read_event(body)
    except (InvalidEvent, NewerEvent):
        return False
    return True


def blocks(language: str) -> list[str]:
    """The code of one language in the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_valid_and_accepted(path: Path) -> None:
    VALIDATOR.validate(json.loads(path.read_bytes()))
    event = events.read_event(path.read_bytes())
    assert isinstance(event, events.ReadinessEvent)


def test_the_examples_show_every_status_and_both_types() -> None:
    shown = [events.read_event(path.read_bytes()) for path in EXAMPLES]
    about = [event for event in shown if isinstance(event, events.ReadinessEvent)]
    assert {event.type for event in about} == set(EventType)
    assert {event.status for event in about} == {*MAY_SET[EventType.REPORTED], None}
    assert len({event.id for event in about}) == len(EXAMPLES)


def test_the_schema_names_what_the_code_names() -> None:
    definitions = SCHEMA["$defs"]
    report = definitions["report"]["properties"]
    assert set(SCHEMA["properties"]["type"]["enum"]) == set(EventType)
    assert set(report["readinessStatus"]["enum"]) == MAY_SET[EventType.REPORTED]
    assert definitions["kind"]["enum"] == list(FLOW_SCHEMAS)
    assert report["reason"]["maxLength"] == events.MAX_REASON
    assert SCHEMA["properties"]["dataversion"]["maximum"] == events.EVENT_VERSION


# --- schema and service agree ------------------------------------------------------------------


@pytest.mark.parametrize("event", [REPORT, REQUEST], ids=["report", "request"])
def test_a_good_event_is_valid_and_read(event: dict[str, Any]) -> None:
    body = json.dumps(event).encode()
    assert (is_valid(body), is_read(body)) == (True, True)


@pytest.mark.parametrize(("path", "value"), FAULTS)
def test_schema_and_service_refuse_the_same(path: list[str], value: Any) -> None:
    body = changed(path, value)
    assert (is_valid(body), is_read(body)) == (False, False)


def members(value: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The path of each member of an event."""
    for name, inner in value.items():
        yield [*before, name]
        if isinstance(inner, dict):
            yield from members(inner, (*before, name))


OPTIONAL = {"revision", "reason", "subject", "datacontenttype", "traceparent", "fresh", "tenantid"}


@pytest.mark.parametrize("path", list(members(REPORT)), ids=".".join)
def test_schema_and_service_miss_the_same(path: list[str]) -> None:
    event = copy.deepcopy(REPORT)
    place = event
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    body = json.dumps(event).encode()
    assert is_valid(body) is is_read(body) is (path[-1] in OPTIONAL)


EDGES: list[tuple[list[str], Any]] = [
    (["id"], "x" * 128),
    (["source"], "x" * 1024),
    (["data", "reason"], None),
    (["data", "reason"], "😀" * events.MAX_REASON),
    (["data", "revision"], None),
    (["data", "revision"], 2**53),
    (["data", "flowId"], REPORT["data"]["flowId"].upper()),
    (["time"], "2026-03-22T21:28:02Z"),
    (["time"], "2026-03-22T21:28:02.716422+05:45"),
    (["time"], "2024-02-29T23:59:59.999999999-07:00"),
    (["time"], "2026-03-22t21:28:02.716422z"),
    (["traceparent"], None),
    (["traceparent"], "not one"),
    (["partitionkey"], {"an": "extension"}),
    (["dataversion"], events.EVENT_VERSION),
    (["data", "more"], {"an": "addition"}),
]


@pytest.mark.parametrize(("path", "value"), EDGES)
def test_schema_and_service_accept_the_same(path: list[str], value: Any) -> None:
    body = changed(path, value)
    assert (is_valid(body), is_read(body)) == (True, True)


def test_data_may_come_in_base64_and_comes_once() -> None:
    plain = json.dumps(REPORT["data"]).encode()
    in_base64 = {**REPORT, "data_base64": base64.b64encode(plain).decode()}
    body = json.dumps(in_base64).encode()
    assert (is_valid(body), is_read(body)) == (False, False)
    del in_base64["data"]
    body = json.dumps(in_base64).encode()
    assert (is_valid(body), is_read(body)) == (True, True)


def has_whole_float(value: Any) -> bool:
    """Whether 1.0 is in a value: to the schema, which knows numbers only, that is an integer."""
    if isinstance(value, dict | list):
        return any(map(has_whole_float, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value.is_integer()


interesting = (
    json_values
    | st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z\n?")
    | st.from_regex(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\n?")
    | st.sampled_from(["ready", "expired", "1.0", 1, 2**53, *EventType, *FLOW_SCHEMAS])
)


@given(
    st.sampled_from([*members(REPORT), ["x"], ["subject"], ["data", "fresh"], ["data", "x"]]),
    interesting.filter(lambda value: not has_whole_float(value)),
    st.sampled_from([REPORT, REQUEST]),
)
def test_what_the_schema_accepts_the_service_reads(
    path: list[str], value: Any, event: dict[str, Any]
) -> None:
    body = changed(path, value, event)
    if is_valid(body) and not is_read(body):
        # A pattern does not know how long a month is.
        assert path == ["time"]
        with pytest.raises(ValueError, match="day"):
            datetime.fromisoformat(value)


def test_the_service_keeps_its_own_type_to_itself() -> None:
    body = events.catalog_changed(CatalogChange(role_group="staff")).body
    assert (is_valid(body), is_read(body)) == (False, True)


# --- the page ----------------------------------------------------------------------------------


def test_the_message_in_the_page_is_an_example() -> None:
    shown = json.loads(blocks("json")[0])
    assert shown in [json.loads(path.read_bytes()) for path in EXAMPLES]


def test_the_page_names_every_status_and_file_that_exists() -> None:
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(table) == {*MAY_SET[EventType.REPORTED], "readinessStatus"}
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for target in re.findall(r"@(docs/\S+)", PAGE):
        assert (ROOT / target).is_file(), target


def test_the_limits_in_the_page_are_those_of_queue_and_code() -> None:
    queues = json.loads((ROOT / "shared" / "resources" / "queues.json").read_text("utf-8"))[
        "UserConfig"
    ]["Namespaces"][0]["Queues"]
    [limits] = [each["Properties"] for each in queues if each["Name"] == READINESS_QUEUE]
    assert limits["MaxDeliveryCount"] == 5
    assert "is delivered five times" in PAGE
    assert limits["DuplicateDetectionHistoryTimeWindow"] == "PT5M"
    assert "for five minutes" in PAGE
    assert limits["DefaultMessageTimeToLive"] == "PT1H"
    assert "waits in the queue for an hour" in PAGE


async def test_the_python_of_the_page_reports_a_flow_as_failed(service: Api, stack: Stack) -> None:
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    [code] = blocks("python")
    made = 'ServiceBusClient("contoso.servicebus.windows.net", DefaultAzureCredential())'
    assert made in code
    # The emulator takes no token of Entra ID.
    code = code.replace(made, "ServiceBusClient.from_connection_string(connection)")
    code = code.replace(json.loads(blocks("json")[0])["data"]["flowSetId"], flow.set_id)
    code = code.replace(json.loads(blocks("json")[0])["data"]["flowId"], flow.id)
    exec(  # noqa: S102 - it is our own page
        compile(code, "provisioning-engine.md", "exec"),
        {"connection": stack.config.service_bus_connection},
    )
    await flow.until_status("failed")


def test_the_csharp_of_the_page_sends_the_same_members() -> None:
    [code] = blocks("csharp")
    assert re.search(r'CreateSender\("readiness"\)', code)
    assert f'CreateSender("{READINESS_QUEUE}")' in code
    for member in ["data", *SCHEMA["required"], *SCHEMA["$defs"]["report"]["required"]]:
        assert re.search(rf"\b{member}\b", code), member
    assert events.CONTENT_TYPE in code
