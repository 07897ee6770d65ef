"""CloudEvents in binary mode, with data_base64, and with times as RFC 3339 allows them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import events
from shared.contract.cloudevents import as_structured, tenant_named, tenant_of
from shared.domain.errors import InvalidEvent
from tests.contract.test_events import REPORT, json_values

DATA = json.dumps(REPORT["data"]).encode()
ATTRIBUTES = {name: value for name, value in REPORT.items() if name != "data"}


def binary(prefix: str = "cloudEvents:", **changes: Any) -> dict[str, Any]:
    """The application properties of the report in binary mode."""
    return {prefix + name: value for name, value in (ATTRIBUTES | changes).items()}


def read(body: bytes, properties: dict[str, Any], content_type: str | None = None) -> Any:
    return events.read_event(as_structured(body, properties, content_type))


def refusal(body: bytes, properties: dict[str, Any], content_type: str | None = None) -> str:
    with pytest.raises(InvalidEvent) as refused:
        read(body, properties, content_type)
    return str(refused.value)


def encoded(content: bytes | str, **changes: Any) -> bytes:
    """The report with its data in base64."""
    if isinstance(content, bytes):
        content = base64.b64encode(content).decode()
    return json.dumps({**ATTRIBUTES, "data_base64": content, **changes}).encode()


# --- binary mode -------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
@pytest.mark.parametrize(
    "content_type", [None, "application/json", "Application/JSON; charset=utf-8", "text/json"]
)
def test_binary_mode_is_the_same_event(prefix: str, content_type: str | None) -> None:
    found = read(DATA, binary(prefix), content_type)
    assert found == events.read_event(json.dumps(REPORT).encode())


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_data_in_binary_mode_may_begin_with_a_byte_order_mark(mark: bytes) -> None:
    assert read(mark + DATA, binary()).status == "failed"


def test_a_time_in_binary_mode_may_be_an_amqp_timestamp() -> None:
    found = read(DATA, binary(time=1_774_214_882_716))
    assert found.position.at == 1_774_214_882_716_000


@pytest.mark.parametrize("time", [2**63 - 1, -(2**63), True, 1.5])
def test_a_time_that_is_none_is_refused(time: Any) -> None:
    assert "time" in refusal(DATA, binary(time=time))


def test_a_trace_in_binary_mode_is_read() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert read(DATA, binary(traceparent=traceparent)).traceparent == traceparent


def test_a_structured_event_is_that_of_its_body_whatever_its_properties_say() -> None:
    body = json.dumps(REPORT).encode()
    properties = binary(id="another", data="x")
    found = as_structured(body, properties, "application/cloudevents+json; charset=utf-8")
    assert found == body


def test_properties_without_a_specversion_are_no_event() -> None:
    properties = binary()
    del properties["cloudEvents:specversion"]
    assert as_structured(DATA, properties, None) == DATA


def test_a_missing_attribute_is_named() -> None:
    properties = binary()
    del properties["cloudEvents:source"]
    assert "source" in refusal(DATA, properties)


@pytest.mark.parametrize("content_type", ["text/xml", "application/octet-stream", "json"])
def test_data_of_another_type_is_refused(content_type: str) -> None:
    assert "content type is not JSON" in refusal(DATA, binary(), content_type)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{}, "id": "other"', b"1}"])
def test_data_that_is_not_one_json_value_is_refused(body: bytes) -> None:
    assert "body is not JSON" in refusal(body, binary())


def test_a_member_that_the_data_repeats_is_named() -> None:
    body = DATA[:-1] + b', "kind": "userProvisioningFlow"}'
    assert "more than once: kind" in refusal(body, binary())


@given(st.dictionaries(st.sampled_from([*ATTRIBUTES, "x"]), json_values), st.binary(max_size=64))
def test_any_properties_and_body_are_read_or_refused(
    attributes: dict[str, Any], body: bytes
) -> None:
    properties = binary(**attributes)
    for data in (body, DATA):
        try:
            read(data, properties)
        except InvalidEvent as refused:
            assert str(refused)  # noqa: PT017 - both ends are allowed, any other exception is not


# --- data in base64 ----------------------------------------------------------------------------


def test_data_in_base64_is_the_same_event() -> None:
    assert events.read_event(encoded(DATA)) == events.read_event(json.dumps(REPORT).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("%%%", "not JSON in base64"),
        ("é", "not JSON in base64"),
        (b"{", "not JSON in base64"),
        (b"\xff", "not JSON in base64"),
        (DATA[:-1] + b', "kind": "x"}', "more than once: kind"),
        (b"[]", "data"),
    ],
)
def test_what_base64_may_not_hold_is_refused(data: bytes | str, words: str) -> None:
    with pytest.raises(InvalidEvent, match=words):
        events.read_event(encoded(data))


@pytest.mark.parametrize("value", [None, 7, {}])
def test_base64_is_a_string(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="not a string"):
        events.read_event(json.dumps({**ATTRIBUTES, "data_base64": value}).encode())


@pytest.mark.parametrize("data", [None, REPORT["data"]])
def test_data_comes_once(data: Any) -> None:
    with pytest.raises(InvalidEvent, match="one of the two"):
        events.read_event(encoded(DATA, data=data))


# --- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", ["2026-03-22t21:28:02.716422z", "2026-03-22T21:28:02.716422z"])
def test_the_letters_of_a_time_may_be_small(time: str) -> None:
    found = events.read_event(json.dumps({**REPORT, "time": time}).encode())
    assert found == events.read_event(json.dumps(REPORT).encode())


# --- whose an event is -------------------------------------------------------------------------

ONE, OTHER = (f"10ca1000-0000-4000-8000-00000000000{number}" for number in (1, 2))


@pytest.mark.parametrize(
    ("named", "served", "found"),
    [(None, [ONE], ONE), (ONE, [ONE], ONE), (OTHER, [ONE, OTHER], OTHER)],
)
def test_an_event_is_about_the_tenant_that_it_names_or_the_only_one(
    named: str | None, served: list[str], found: str
) -> None:
    assert tenant_of(named, served) == found


@pytest.mark.parametrize(
    ("named", "served", "words"),
    [(OTHER, [ONE], f"names the tenant {OTHER}"), (None, [ONE, OTHER], "names no tenant")],
)
def test_an_event_about_no_tenant_that_is_served_is_refused(
    named: str | None, served: list[str], words: str
) -> None:
    with pytest.raises(InvalidEvent, match=words):
        tenant_of(named, served)


def test_a_tenant_is_named_in_either_mode_and_any_case() -> None:
    report = json.dumps({**REPORT, "tenantid": OTHER.upper()}).encode()
    in_binary = as_structured(DATA, binary(tenantid=OTHER.upper()), None)
    for event in (report, in_binary):
        assert events.read_event(event).tenant == tenant_named(event, len(event)) == OTHER


@pytest.mark.parametrize("tenant", ["", "contoso.com", 7, [OTHER]])
def test_a_tenant_is_a_guid(tenant: Any) -> None:
    report = json.dumps({**REPORT, "tenantid": tenant}).encode()
    with pytest.raises(InvalidEvent, match="tenantid"):
        events.read_event(report)
    assert tenant_named(report, len(report)) is None


def test_of_what_is_no_event_the_tenant_is_still_found_within_limits() -> None:
    broken = json.dumps({"tenantid": OTHER}).encode()
    assert tenant_named(broken, len(broken)) == OTHER
    assert tenant_named(broken, len(broken) - 1) is None
    for content in (b"", b"{", b"[]", b"7"):
        assert tenant_named(content, 100) is None
