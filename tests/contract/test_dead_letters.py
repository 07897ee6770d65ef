"""What is kept of a dead letter: all that helps to mend it, and nothing that may be a secret."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import events
from shared.contract.dead_letters import BodyForm, QueueMessage, letter_name, record
from shared.contract.redaction import HIDDEN

ARCHIVED = datetime(2026, 11, 24, 9, 16, tzinfo=UTC)
LETTER = QueueMessage(
    message_id="m-1",
    sequence_number=17,
    enqueued=datetime(2026, 11, 24, 9, 15, 0, 731, tzinfo=UTC),
    delivery_count=5,
    content_type="application/json",
    properties={
        "DeadLetterReason": "MaxDeliveryCountExceeded",
        "DeadLetterErrorDescription": "Five times.",
        "attempts": 2,
    },
    body=b'{"type": "x"}',
)


def kept(body: Any, **properties: Any) -> dict[str, Any]:
    """The record of a letter with this body (bytes as they are, all else as JSON)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return record(dataclasses.replace(LETTER, body=raw, properties=properties), ARCHIVED)


def test_a_record_has_what_the_queue_knew() -> None:
    found = record(LETTER, ARCHIVED)
    fault = found.pop("fault")
    assert fault.startswith("The message is not a readiness event: ")
    assert found == {
        "archivedDateTime": "2026-11-24T09:16:00+00:00",
        "messageId": "m-1",
        "sequenceNumber": 17,
        "enqueuedDateTime": "2026-11-24T09:15:00.000731+00:00",
        "deliveryCount": 5,
        "contentType": "application/json",
        "deadLetterReason": "MaxDeliveryCountExceeded",
        "deadLetterDescription": "Five times.",
        "properties": {"attempts": 2},
        "bodyForm": "data",
        "body": {"type": "x"},
        "readable": None,
        "bodySize": 13,
        "bodySha256": hashlib.sha256(LETTER.body).hexdigest(),
    }


def test_a_record_does_not_change_the_letter() -> None:
    before = dict(LETTER.properties)
    record(LETTER, ARCHIVED)
    assert LETTER.properties == before


def test_a_well_formed_event_has_no_fault() -> None:
    guid = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"
    message = events.report(guid, "userProvisioningFlow", guid, "ready")
    assert kept(message.body)["fault"] is None


@pytest.mark.parametrize(
    "body", [b"", b"not JSON", b"\xff\xfe", b"[1]", b'"text"', b"null", b"[" * 100_000]
)
def test_of_what_is_no_json_object_only_size_and_hash_are_kept(body: bytes) -> None:
    found = kept(body)
    assert (found["body"], found["readable"]) == (None, {})
    assert (found["bodySize"], found["bodySha256"]) == (
        len(body),
        hashlib.sha256(body).hexdigest(),
    )


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "defaultPassword",
        "PASSWORD",
        "clientSecret",
        "access_token",
        "credentials",
        "Authorization",
        "apiKey",
        "accessKey",
        "account_key",
        "private-key",
        "connectionString",
        "passphrase",
        "pwd",
        "signature",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", 12, ["hunter2"], {"value": "hunter2"}])
def test_what_a_telling_name_has_is_hidden_at_any_depth(name: str, value: Any) -> None:
    assert kept({name: value})["body"] == {name: "[hidden]"}
    assert kept({"data": [{"in": {name: value}}]})["body"] == {"data": [{"in": {name: "[hidden]"}}]}
    assert kept({}, **{name: value})["properties"] == {name: "[hidden]"}


@pytest.mark.parametrize("given", ["%%%", 7, base64.b64encode(b'{"password": "x"').decode()])
def test_base64_that_cannot_be_searched_is_hidden(given: Any) -> None:
    assert kept({"type": "x", "data_base64": given})["body"] == {
        "type": "x",
        "data_base64": HIDDEN,
    }


def test_data_in_base64_is_kept_as_json_and_searched() -> None:
    data = base64.b64encode(b'{"password": "hunter2", "kind": "a"}').decode()
    found = kept({"type": "x", "data_base64": data})["body"]
    assert found == {"type": "x", "data": {"password": HIDDEN, "kind": "a"}}


@pytest.mark.parametrize("depth", [51, 300, 480, 900])
def test_a_body_nested_too_deep_can_be_archived(depth: int) -> None:
    for opening, closing in ((b'{"a":', b"}"), (b"[", b"]")):
        body = b'{"data":' + opening * depth + b'"hunter2"' + closing * depth + b"}"
        text = json.dumps(kept(body), indent=2)
        assert "[hidden]" in text
        assert "hunter2" not in text


def test_that_there_is_no_secret_is_not_hidden() -> None:
    assert kept({"password": None, "token": ""})["body"] == {"password": None, "token": ""}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a;SharedAccessKey=abc=;b", "a;SharedAccessKey=[hidden];b"),
        ("AccountKey=abc", "AccountKey=[hidden]"),
        ("SharedAccessSignature=sig", "SharedAccessSignature=[hidden]"),
        ("<eyJhbGciOi.eyJzdWIi.c2ln>", "<[hidden]>"),
        ("%3DeyJhbGciOi.eyJzdWIi.c2ln&a", "%3D[hidden]&a"),
        ("a.b.eyJhbGciOi and eyJhbGciOi.c", "a.b.eyJhbGciOi and eyJhbGciOi.c"),
        ("https://a.example/b?sv=1&sig=abc%3D&se=2", "https://a.example/b?sv=1&sig=[hidden]&se=2"),
        ("design=3", "design=3"),
        ("Server=a;Password=abc;Pwd=abc", "Server=a;Password=[hidden];Pwd=[hidden]"),
        ("authorized by bearer abc.def", "authorized by bearer [hidden]"),
    ],
)
def test_what_looks_like_a_key_or_a_token_is_hidden_in_any_text(text: str, left: str) -> None:
    assert kept({"note": [text]})["body"] == {"note": [left]}
    assert kept({}, note=text)["properties"] == {"note": left}
    assert kept({}, DeadLetterErrorDescription=text)["deadLetterDescription"] == left


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("abc ÄÖ=;.", max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abcde", min_size=1), inner),
    )
)
def test_what_is_no_secret_is_kept_as_it_came(value: Any) -> None:
    assert kept({"data": value})["body"] == {"data": value}


def test_letters_are_named_by_day_and_time_and_no_two_alike() -> None:
    assert letter_name(LETTER) == "2026/11/24/091500-17.json"
    assert letter_name(dataclasses.replace(LETTER, sequence_number=18)) != letter_name(LETTER)


def test_another_delivery_has_the_same_name() -> None:
    again = dataclasses.replace(LETTER, delivery_count=9, properties={}, body=b"")
    assert letter_name(again) == letter_name(LETTER)


def test_a_time_without_a_zone_is_utc() -> None:
    bare = dataclasses.replace(LETTER, enqueued=LETTER.enqueued.replace(tzinfo=None))
    assert letter_name(bare) == letter_name(LETTER)
    assert record(bare, ARCHIVED) == record(LETTER, ARCHIVED)


# --- why it cannot be understood, and enough to repair it ---------------------------------------

GUID = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"
EVENT = json.loads(events.report(GUID, "userProvisioningFlow", GUID, "failed").body)
TEXT = json.dumps(EVENT)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (json.dumps(TEXT).encode(), "JSON inside a JSON string"),
        (f"[{TEXT}]".encode(), "JSON array; send one event a message"),
        (b"", "It is empty"),
        (b" \n", "It is empty"),
        (TEXT.encode("utf-16"), "begins as UTF-16 does"),
        (gzip.compress(TEXT.encode()), "begins as gzip does"),
        (b"<event/>", "begins as XML does"),
        (TEXT.replace("failed", "f\ufffd").encode()[:-1], "bytes that are no UTF-8"),
        (TEXT.encode() + b" " * events.MAX_EVENT_BYTES, "send at most 261120"),
        (b'{"type": "a", "type": "b"}', "more than once: type"),
    ],
)
def test_the_fault_says_what_the_body_is(body: bytes, words: str) -> None:
    assert words in kept(body)["fault"]


def test_the_fault_of_an_event_of_a_later_version_says_so() -> None:
    found = kept(EVENT | {"dataversion": 99})
    assert "version 99" in found["fault"]
    assert found["body"] == EVENT | {"dataversion": 99}


@pytest.mark.parametrize("form", [BodyForm.VALUE, BodyForm.SEQUENCE])
def test_a_body_that_the_trigger_cannot_hand_over_is_named_and_kept(form: BodyForm) -> None:
    body = json.dumps(EVENT | {"token": "hunter2"}).encode()
    found = record(dataclasses.replace(LETTER, body=body, form=form), ARCHIVED)
    assert f"AMQP {form} body" in found["fault"]
    assert (found["bodyForm"], found["body"]) == (form, EVENT | {"token": HIDDEN})


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_an_event_inside_strings_is_kept_without_its_secrets(levels: int) -> None:
    text = json.dumps(EVENT | {"password": "hunter2"})
    for _ in range(levels):
        text = json.dumps(text)
    assert kept(text.encode())["body"] == EVENT | {"password": HIDDEN}


def test_no_more_levels_of_strings_are_read() -> None:
    text = json.dumps(EVENT | {"password": "hunter2"})
    for _ in range(5):
        text = json.dumps(text)
    found = kept(text.encode())
    assert found["body"] is None
    assert "hunter2" not in json.dumps(found)


def test_several_events_in_one_message_are_kept() -> None:
    several = [EVENT, {"data_base64": "%%"}, {"password": "hunter2"}]
    assert kept(several)["body"] == [EVENT, {"data_base64": HIDDEN}, {"password": HIDDEN}]


@pytest.mark.parametrize(
    "broken",
    [
        TEXT[:-1],
        TEXT + ",",
        TEXT.replace('"data": {', '"data": {"password": "hunter2", '),
        TEXT.replace('"id"', '"note": "it\'s", "id"'),
        TEXT.replace(", ", ",\n\t"),
    ],
)
def test_of_broken_json_the_members_that_tell_which_event_it_was_are_kept(broken: str) -> None:
    found = kept(broken.encode() + b"}]")
    assert found["body"] is None
    names = ("id", "source", "type", "time")
    about = {name: EVENT["data"][name] for name in EVENT["data"]}
    assert found["readable"] == {name: EVENT[name] for name in names} | about
    assert "hunter2" not in json.dumps(found)


def test_of_what_is_too_long_to_be_searched_only_the_beginning_is_read() -> None:
    body = TEXT[:-1].encode() + b" " * events.MAX_EVENT_BYTES * 4 + b',"kind": "late"}'
    found = kept(body)
    assert found["body"] is None
    assert found["readable"]["kind"] == "userProvisioningFlow"


@pytest.mark.parametrize(
    "body",
    [
        b'"id":' * 200_000,
        b'"id"' + b" " * 1_000_000,
        b'"id":"' * 150_000,
        b"[" * 1_000_000,
        b'"' + b"\\" * 1_000_000,
        b'{"a":"' + b"eyJ." * 200_000 + b'"}',
        b'{"a":"' + b"password\\" * 100_000 + b'"}',
        b'{"a":"' + b'password\\"' * 100_000 + b'"}',
        b'{"a":"' + b'password\\":\\"' * 80_000 + b'"}',
        b'{"a":"' + b'password\\":\\\\\\"' * 60_000 + b'"}',
    ],
)
def test_a_hostile_body_is_recorded_in_linear_time(body: bytes) -> None:
    began = time.process_time()
    kept(body)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"password": "hunter2", "kind": "a"}', '{"password": "[hidden]", "kind": "a"}'),
        (r"{\"apiKey\":\"hunter2\"}", r"{\"apiKey\":\"[hidden]\"}"),
        (r'{"password": "hun\"ter2"}', '{"password": "[hidden]"}'),
        (r"{\"pwd\":\"hun\\\"ter2\",\"a\":\"b\"}", r"{\"pwd\":\"[hidden]\",\"a\":\"b\"}"),
        ('{"clientSecret" : "hun', '{"clientSecret" : "[hidden]'),
        ('{"password": ["Unknown field."]}', '{"password": ["Unknown field."]}'),
        ('{"password": ""}', '{"password": ""}'),
    ],
)
def test_json_in_a_text_is_searched_too(text: str, left: str) -> None:
    assert kept({"note": text})["body"] == {"note": left}


@pytest.mark.parametrize(("values", "is_kept"), [(1990, True), (2001, False)])
def test_a_body_of_too_many_objects_is_not_searched_but_told(values: int, is_kept: bool) -> None:
    sent = json.loads(events.report("s", "userProvisioningFlow", "f", "ready").body)
    letter = kept({**sent, "more": [[]] * (values - 3)})

    assert (letter["body"] is not None) is is_kept
    assert letter["bodySize"] > values
    if not is_kept:
        assert letter["readable"]["id"] == sent["id"]
