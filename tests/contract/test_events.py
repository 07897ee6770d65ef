"""The events on the queue: what is written can be read, and each fault of a message is named."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.keyring import Keyring
from shared.contract import events
from shared.contract.json_body import MAX_EVENT_VALUES
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.domain.catalog import CatalogChange
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import InvalidEvent, NewerEvent
from shared.domain.ids import microseconds, microseconds_of
from shared.domain.readiness import EventType, Position, Status
from shared.domain.secrets import MASKED_PASSWORD
from shared.services.provisioning_flows import new_flow as stored_form

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
RING = Keyring.read(f"k1:{base64.b64encode(b'k' * 32).decode()}", LOCAL_TENANT)
SET_ID = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"
FLOW_ID = "f66e97ad-0870-46e0-3ff3-08dc49dccdc9"
KIND = "userProvisioningFlow"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

REPORT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "event-1",
    "source": "/engine",
    "type": "industryData.provisioningFlow.readinessReported",
    "time": "2026-03-22T21:28:02.716422Z",
    "data": {
        "flowSetId": SET_ID,
        "flowId": FLOW_ID,
        "kind": KIND,
        "revision": 1,
        "readinessStatus": "failed",
        "reason": "No licence is left.",
    },
}
REQUEST: dict[str, Any] = {
    **REPORT,
    "type": "industryData.provisioningFlow.readinessCheckRequested",
    "data": {"flowSetId": SET_ID, "flowId": FLOW_ID, "kind": KIND, "revision": 1},
}


def changed(path: list[str], value: Any, event: dict[str, Any] = REPORT) -> bytes:
    """An event with one member set to another value."""
    event = copy.deepcopy(event)
    place = event
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(event).encode()


def refusal(body: bytes) -> str:
    """The text with which a message is refused."""
    with pytest.raises(InvalidEvent) as refused:
        events.read_event(body)
    return str(refused.value)


def position(body: bytes) -> Position:
    """Where a message stands among the others, read at a time when none is in the future."""
    return read(body, microseconds_of(datetime(2900, 1, 2, tzinfo=UTC))).position


def read(body: bytes, enqueued_at: int | None = None) -> events.ReadinessEvent:
    """Read an event about a flow."""
    event = events.read_event(body, enqueued_at)
    assert isinstance(event, events.ReadinessEvent)
    return event


def new_flow(name: str) -> tuple[str, dict[str, Any]]:
    """A published request body as it is stored."""
    kind, values = load_flow(json.loads((PAYLOADS / f"{name}.request.json").read_bytes()))
    return kind, stored_form(kind, values, RING)


# --- written and read back ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group", "user"])
def test_a_request_for_a_check_is_read_as_it_was_written(name: str) -> None:
    kind, flow = new_flow(name)
    message = events.check_request(SET_ID, kind, flow)
    event = read(message.body)
    assert (event.id, event.type) == (message.id, EventType.CHECK_REQUESTED)
    assert (event.flow_set_id, event.flow_id, event.kind) == (SET_ID, flow["id"], kind)
    assert (event.revision, event.status, event.reason) == (1, None, None)
    assert event.configuration == flows.without_passwords(flow["configuration"])


@pytest.mark.parametrize("status", ["ready", "failed", "disabled", "expired"])
@pytest.mark.parametrize("reason", [None, "Bitte Lizenzen prüfen 😀"])
def test_a_report_is_read_as_it_was_written(status: str, reason: str | None) -> None:
    message = events.report(SET_ID, KIND, FLOW_ID, status, revision=7, reason=reason)
    event = read(message.body)
    assert (event.id, event.type) == (message.id, EventType.REPORTED)
    assert (event.flow_set_id, event.flow_id, event.kind) == (SET_ID, FLOW_ID, KIND)
    assert (event.revision, event.status, event.reason) == (7, status, reason)
    assert event.configuration is None


def test_an_event_is_a_cloud_event_about_its_flow() -> None:
    before = datetime.now(UTC)
    event = json.loads(events.report(SET_ID, KIND, FLOW_ID, "ready").body)
    assert event["specversion"] == "1.0"
    assert event["source"] == "/industryData/provisioningService"
    assert event["subject"] == f"outboundProvisioningFlowSets/{SET_ID}/provisioningFlows/{FLOW_ID}"
    assert event["datacontenttype"] == "application/json"
    assert event["time"].endswith("Z")
    assert before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC)


def test_every_event_has_an_id_of_its_own() -> None:
    messages = [events.report(SET_ID, KIND, FLOW_ID, "ready") for _ in range(100)]
    assert len({message.id for message in messages}) == 100
    assert all(json.loads(message.body)["id"] == message.id for message in messages)


def test_a_request_for_a_check_carries_no_password() -> None:
    kind, flow = new_flow("user")
    text = events.check_request(SET_ID, kind, flow).body.decode()
    assert "sealed" not in text
    assert text.count(MASKED_PASSWORD) == 2


def test_a_configuration_too_large_for_the_queue_stays_in_the_store() -> None:
    kind, flow = new_flow("user")
    entry = flow["configuration"]["creationOptions"]["configurations"][0]
    entry["licenseSkus"] = ["ü" * 128] * 1000
    message = events.check_request(SET_ID, kind, flow)
    assert len(message.body) < 1024
    assert read(message.body).configuration is None


@pytest.mark.parametrize(("over", "carried"), [(0, True), (1, False)])
def test_the_largest_check_is_measured_in_bytes(over: int, carried: bool) -> None:
    flow = {"id": FLOW_ID, "revision": 1, "revisedAt": 0, "configuration": {"a": "é"}}
    room = events.MAX_CHECK_BYTES - len(events.check_request(SET_ID, KIND, flow).body)
    flow["configuration"] = {"a": "é" + "x" * (room + over)}
    message = events.check_request(SET_ID, KIND, flow)
    assert (read(message.body).configuration is not None) is carried
    assert len(message.body) < 256 * 1024


# --- what is ignored ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extension",
    [
        {"tracestate": "vendor=1", "traceparent": "not one"},
        {"partitionkey": "x", "sequence": 4},
        {"dataschema": None, "subject": "anything", "datacontenttype": "application/json"},
    ],
)
def test_extension_attributes_are_ignored(extension: dict[str, Any]) -> None:
    with_extension = json.dumps({**REPORT, **extension}).encode()
    assert events.read_event(with_extension) == events.read_event(json.dumps(REPORT).encode())


def test_ids_of_flows_are_taken_in_any_case() -> None:
    event = read(changed(["data", "flowId"], FLOW_ID.upper()))
    assert event.flow_id == FLOW_ID


# --- the position ------------------------------------------------------------------------------


def test_the_position_is_the_time_in_microseconds_and_a_guid_of_the_event() -> None:
    found = position(json.dumps(REPORT).encode())
    assert found.at == 1_774_214_882_716_422
    assert str(uuid.UUID(found.key)) == found.key


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-22T21:28:02.716422+00:00",
        "2026-03-22T22:28:02.716422+01:00",
        "2026-03-23T03:13:02.716422+05:45",
        "2026-03-22T14:28:02.716422-07:00",
        "2026-03-22T21:28:02.7164229Z",
    ],
)
def test_the_same_moment_in_another_zone_is_the_same_position(time: str) -> None:
    assert position(changed(["time"], time)) == position(json.dumps(REPORT).encode())


@given(
    st.datetimes(
        datetime(1970, 1, 1),
        datetime(2900, 1, 1),
        timezones=st.timedeltas(timedelta(hours=-12), timedelta(hours=14)).map(
            lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
        ),
    )
)
def test_the_position_is_exact_to_the_microsecond(moment: datetime) -> None:
    found = position(changed(["time"], moment.isoformat()))
    assert found.at == (moment - EPOCH) // timedelta(microseconds=1)


def test_events_a_microsecond_apart_keep_their_order() -> None:
    start = datetime(2039, 8, 5, 7, 41, 5, 631_000, tzinfo=UTC)  # beyond 2^31 seconds
    ats = [
        position(changed(["time"], (start + timedelta(microseconds=tick)).isoformat())).at
        for tick in range(500)
    ]
    assert [after - before for before, after in itertools.pairwise(ats)] == [1] * 499


@pytest.mark.parametrize(("member", "value"), [("id", "event-2"), ("source", "/engine-2")])
def test_another_id_or_source_is_another_event(member: str, value: str) -> None:
    assert position(changed([member], value)) != position(json.dumps(REPORT).encode())


def test_the_same_message_is_the_same_event() -> None:
    again = changed(["data", "reason"], "the same in other words")
    assert position(again) == position(json.dumps(REPORT).encode())


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe{\x00}\x00",
        b"\xed\xa0\x80",
        b"[" * 100_000,
        b"9" * 5000,
        json.dumps(REPORT).encode("utf-16"),
    ],
)
def test_a_message_that_is_not_json_is_refused(body: bytes) -> None:
    assert refusal(body).startswith("The message is not JSON in UTF-8, or")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"NaN", "not JSON in UTF-8"),
        (b'"text"', "JSON inside a JSON string"),
        (b'{"type": "a", "type": "b"}', "a member more than once: type"),
        (b'{"data": {"x": {"reason": 1, "reason": 2}}}', "a member more than once: reason"),
        (b" " * (events.MAX_EVENT_BYTES + 1), "send at most"),
    ],
)
def test_what_its_sender_must_mend_is_said(body: bytes, words: str) -> None:
    assert words in refusal(body)


def test_a_byte_order_mark_in_front_does_not_count() -> None:
    body = events.report(SET_ID, "userProvisioningFlow", SET_ID, "ready").body
    assert events.read_event(b"\xef\xbb\xbf" + body) == events.read_event(body)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("No licence left.", "No licence left."),
        ("Two\nlines\u202e\x00", "Two lines"),
        ("\t\n ", None),
        ("Bearer eyJhbGciOiJub25lIn0", "Bearer [hidden]"),
        ("Password=hunter2;x", "Password=[hidden];x"),
    ],
)
def test_a_reason_is_kept_without_controls_and_without_secrets(sent: str, kept: str | None) -> None:
    body = events.report(SET_ID, "userProvisioningFlow", SET_ID, "failed", reason=sent).body
    event = events.read_event(body)
    assert isinstance(event, events.ReadinessEvent)
    assert event.reason == kept


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b"7"])
def test_json_that_is_no_event_is_refused(body: bytes) -> None:
    assert refusal(body).startswith("The message is not a readiness event")


FAULTS: list[tuple[list[str], Any]] = [
    (["specversion"], "0.3"),
    (["specversion"], 1.0),
    (["id"], ""),
    (["id"], 7),
    (["id"], None),
    (["id"], "x" * 129),
    (["source"], ""),
    (["source"], None),
    (["source"], "x" * 1025),
    (["type"], "industryData.provisioningFlow.deleted"),
    (["type"], None),
    (["type"], ["industryData.provisioningFlow.readinessReported"]),
    (["time"], "2026-03-22T21:28:02"),
    (["time"], "2026-03-22"),
    (["time"], "yesterday"),
    (["time"], 1_774_214_882),
    (["time"], None),
    (["data"], None),
    (["data"], []),
    (["data"], "text"),
    (["data", "flowSetId"], "not-a-guid"),
    (["data", "flowSetId"], None),
    (["data", "flowSetId"], f"{SET_ID}' OR 1=1"),
    (["data", "flowId"], 7),
    (["data", "flowId"], ""),
    (["data", "kind"], "provisioningFlow"),
    (["data", "kind"], "userprovisioningflow"),
    (["data", "kind"], f"{KIND}.x"),
    (["data", "kind"], None),
    (["data", "revision"], 0),
    (["data", "revision"], -1),
    (["data", "revision"], 1.5),
    (["data", "revision"], "1"),
    (["data", "revision"], True),
    (["data", "revision"], 2**53 + 1),
    (["data", "readinessStatus"], "notReady"),
    (["data", "readinessStatus"], "unknownFutureValue"),
    (["data", "readinessStatus"], "Ready"),
    (["data", "readinessStatus"], None),
    (["data", "reason"], 7),
    (["data", "reason"], "x" * 1025),
]


@pytest.mark.parametrize(("path", "value"), FAULTS)
def test_a_wrong_member_is_named(path: list[str], value: Any) -> None:
    assert path[-1] in refusal(changed(path, value))


@pytest.mark.parametrize(
    "path",
    [
        ["specversion"],
        ["id"],
        ["source"],
        ["type"],
        ["time"],
        ["data"],
        ["data", "flowSetId"],
        ["data", "flowId"],
        ["data", "kind"],
        ["data", "readinessStatus"],
    ],
)
def test_a_missing_member_is_named(path: list[str]) -> None:
    event = copy.deepcopy(REPORT)
    place = event
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    assert path[-1] in refusal(json.dumps(event).encode())


@pytest.mark.parametrize("configuration", [[], "text", 7])
def test_a_configuration_is_an_object(configuration: Any) -> None:
    assert "configuration" in refusal(changed(["data", "configuration"], configuration, REQUEST))


@pytest.mark.parametrize("status", list(Status))
def test_a_request_for_a_check_sets_no_status(status: str) -> None:
    assert read(changed(["data", "readinessStatus"], status, REQUEST)).status is None


@pytest.mark.parametrize("event", [REPORT, REQUEST], ids=["report", "request"])
def test_unknown_members_are_ignored(event: dict[str, Any]) -> None:
    plain = read(json.dumps(event).encode())
    assert read(changed(["data", "priority"], {"an": "addition"}, event)) == plain
    assert read(changed(["priority"], [1, 2], event)) == plain


@pytest.mark.parametrize("revision", [None, "absent"])
def test_only_a_report_may_leave_the_revision_open(revision: Any) -> None:
    def of(event: dict[str, Any]) -> bytes:
        data = {**event["data"], "revision": None}
        if revision == "absent":
            del data["revision"]
        return json.dumps({**event, "data": data}).encode()

    assert read(of(REPORT)).revision is None
    assert "revision" in refusal(of(REQUEST))


def test_a_time_in_the_future_counts_as_the_time_the_event_came() -> None:
    at = microseconds_of(datetime.fromisoformat(REPORT["time"]))
    body = json.dumps(REPORT).encode()
    assert read(body, at + 1).position.at == at
    assert read(body, at).position.at == at
    assert read(body, at - 240_000_000).position.at == at - 240_000_000


def test_without_the_time_it_came_a_time_in_the_future_counts_as_now() -> None:
    before = microseconds()
    found = read(changed(["time"], "2900-01-01T00:00:00Z")).position.at
    assert before <= found <= microseconds()


# --- versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [events.EVENT_VERSION + 1, 2**60])
def test_an_event_of_a_later_version_is_not_judged(version: int) -> None:
    later = {"dataversion": version, "type": REPORT["type"], "data": {"else": "altogether"}}
    with pytest.raises(NewerEvent, match=f"version {version}"):
        events.read_event(json.dumps(later).encode())


@pytest.mark.parametrize("version", [1, events.EVENT_VERSION, True, None, "3", 3.5])
def test_another_version_is_read_as_todays(version: Any) -> None:
    assert read(changed(["dataversion"], version)).status == "failed"


def test_what_is_written_says_its_version() -> None:
    kind, flow = new_flow("security_group")
    change = CatalogChange(role_group="staff")
    for message in (
        events.check_request(SET_ID, kind, flow),
        events.report(SET_ID, KIND, FLOW_ID, "ready"),
        events.catalog_changed(change),
    ):
        assert json.loads(message.body)["dataversion"] == events.EVENT_VERSION


# --- what changed beside the flows -------------------------------------------------------------


@pytest.mark.parametrize("about", [{"role_group": "staff"}, {"role_code": "teacher"}])
@pytest.mark.parametrize("after", ["", SET_ID])
@pytest.mark.parametrize("revised_after", [0, 1_774_214_882_716_422])
def test_a_change_of_the_catalog_is_read_as_it_was_written(
    about: dict[str, Any], after: str, revised_after: int
) -> None:
    message = events.catalog_changed(
        CatalogChange(**about), after=after, revised_after=revised_after
    )
    event = events.read_event(message.body)
    assert isinstance(event, events.CatalogChanged)
    assert event.change == CatalogChange(**about)
    assert (event.id, event.after) == (message.id, after)
    assert event.revised_after == revised_after


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"roleGroupId": "staff", "roleCode": "teacher"},
        {"roleCode": "nobody"},
        {"roleGroupId": ""},
        {"roleGroupId": "staff", "after": "x"},
        {"roleGroupId": "staff", "revisedAfter": "yesterday"},
    ],
)
def test_a_change_of_the_catalog_is_about_one_known_thing(data: dict[str, str]) -> None:
    event = {**REPORT, "type": "industryData.catalogChanged", "data": data}
    assert "data" in refusal(json.dumps(event).encode())


# --- which time a request for a check has ------------------------------------------------------


def test_a_check_requested_again_is_as_old_as_the_revision() -> None:
    kind, flow = new_flow("security_group")
    first, again = (read(events.check_request(SET_ID, kind, flow).body) for _ in range(2))
    assert first.position.at == again.position.at == flow["revisedAt"]
    assert first.id != again.id


def test_a_check_because_of_a_change_around_the_flow_is_of_its_own_time() -> None:
    kind, flow = new_flow("security_group")
    flow["revisedAt"] -= 1_000_000
    event = read(events.check_request(SET_ID, kind, flow, fresh=True).body)
    assert event.configuration is None
    assert event.position.at > flow["revisedAt"]


def test_a_fresh_check_of_version_1_brings_no_configuration() -> None:
    data = {**REQUEST["data"], "configuration": {"a": 1}, "fresh": True}
    assert read(changed(["data"], data, REQUEST)).configuration is None
    assert read(changed(["data"], {**data, "fresh": False}, REQUEST)).configuration == {"a": 1}


def test_the_trace_goes_with_the_event() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    kind, flow = new_flow("security_group")
    message = events.check_request(SET_ID, kind, flow, traceparent=traceparent)
    assert message.traceparent == read(message.body).traceparent == traceparent


def test_every_fault_is_named_at_once() -> None:
    event = {**REPORT, "specversion": "2", "time": "never"}
    event["data"] = {**REPORT["data"], "kind": "none", "revision": 0}
    text = refusal(json.dumps(event).encode())
    assert all(name in text for name in ("specversion", "time", "kind", "revision"))


def test_faults_are_words_with_the_place_of_each() -> None:
    event = {name: value for name, value in REPORT.items() if name != "id"}
    event["data"] = {**REPORT["data"], "flowId": 7}
    assert refusal(json.dumps(event).encode()) == (
        "The message is not a readiness event: id: Missing data for required field; "
        "data.flowId: Not a valid string."
    )
    assert refusal(b"7") == "The message is not a readiness event: Invalid input type."


@pytest.mark.parametrize("path", [["id"], ["source"], ["data", "reason"], ["data", "flowId"]])
def test_half_of_a_surrogate_pair_is_a_fault(path: list[str]) -> None:
    assert refusal(changed(path, "x\ud800"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        [path for path, _ in FAULTS] + [["data", "configuration"], ["x"], ["data", "reason"]]
    ),
    json_values,
    st.sampled_from([REPORT, REQUEST]),
)
def test_any_value_in_any_place_is_read_or_refused(
    path: list[str], value: Any, event: dict[str, Any]
) -> None:
    try:
        found = read(changed(path, value, event))
    except InvalidEvent as refused:
        assert str(refused)  # noqa: PT017 - both ends are allowed, any other exception is not
    else:
        assert found.kind == KIND


def test_an_event_holds_a_bounded_number_of_objects_and_arrays() -> None:
    sent = json.loads(events.report(SET_ID, KIND, FLOW_ID, "ready").body)
    fitting = json.dumps({**sent, "more": [[]] * (MAX_EVENT_VALUES - 3)}).encode()
    too_many = json.dumps({**sent, "more": [[]] * (MAX_EVENT_VALUES - 2)}).encode()

    assert read(fitting).status == "ready"
    assert f"more than {MAX_EVENT_VALUES} objects" in refusal(too_many)
