"""Ids and timestamps in the form that Graph prints them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.config import ROOT
from shared.domain import ids

STORED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


def counter(entity_id: str) -> int:
    """The second half of an id as one number: group five, then group four."""
    *_, four, five = entity_id.split("-")
    return int(five + four, 16)


def ticks_now() -> int:
    """100-nanosecond ticks since year 1."""
    return (datetime.now(UTC) - YEAR_ONE) // timedelta(microseconds=1) * 10


def in_a_new_process(expression: str) -> str:
    """Evaluate an expression about `ids` in an interpreter of its own."""
    code = f"import json; from shared.domain import ids; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    value: str = json.loads(done.stdout)
    return value


@pytest.fixture
def counting_from(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test choose where the process's counter stands."""
    with monkeypatch.context() as patch:
        yield patch


def test_an_id_is_a_lower_case_guid_of_version_four() -> None:
    for _ in range(100):
        made = ids.new_id()
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", made)
        assert str(uuid.UUID(made)) == made


def test_one_id_after_the_other_counts_by_one() -> None:
    counters = [counter(ids.new_id()) for _ in range(1000)]
    assert [after - before for before, after in itertools.pairwise(counters)] == [1] * 999


def test_the_counter_is_ticks_since_year_one_at_the_start_of_the_process() -> None:
    before = ticks_now()
    started = counter(in_a_new_process("ids.new_id()"))
    assert before <= started <= ticks_now()


def test_group_four_holds_the_low_bits_and_group_five_the_rest(
    counting_from: pytest.MonkeyPatch,
) -> None:
    # The counter of a published id, so that the two groups can be distinguished.
    counting_from.setattr(ids, "_counter", itertools.count(0x08DC4AC6FB7F3AC6))
    assert [ids.new_id()[19:] for _ in range(2)] == ["3ac6-08dc4ac6fb7f", "3ac7-08dc4ac6fb7f"]


def test_the_counter_carries_from_group_four_into_group_five(
    counting_from: pytest.MonkeyPatch,
) -> None:
    counting_from.setattr(ids, "_counter", itertools.count(0x08DC4AC6FB7FFFFF))
    assert [ids.new_id()[19:] for _ in range(2)] == ["ffff-08dc4ac6fb7f", "0000-08dc4ac6fb80"]


def test_the_first_half_is_random_in_all_its_bits() -> None:
    halves = [int(ids.new_id()[:18].replace("-", ""), 16) for _ in range(200)]
    ever, always = 0, 0xFFFF_FFFF_FFFF_FFFF
    for half in halves:
        ever, always = ever | half, always & half
    assert (f"{ever:016x}", f"{always:016x}") == ("ffffffffffff4fff", "0000000000004000")
    assert len(set(halves)) == len(halves)


def test_a_digest_is_made_into_the_same_id_each_time() -> None:
    digest = "0123456789abcdeffedcba9876543210"
    assert ids.new_id(digest) == "01234567-89ab-4def-fedc-ba9876543210"


@pytest.mark.parametrize(
    "text",
    [
        "9ab41255-5364-4c53-e15c-08dc4ab6ee03",
        "9AB41255-5364-4C53-E15C-08DC4AB6EE03",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_a_guid_is_taken_in_any_case_and_kept_in_lower_case(text: str) -> None:
    assert ids.as_guid(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9ab41255",
        "9ab4125553644c53e15c08dc4ab6ee03",
        "{9ab41255-5364-4c53-e15c-08dc4ab6ee03}",
        "9ab41255-5364-4c53-e15c-08dc4ab6ee0",
        "9ab41255-5364-4c53-e15c-08dc4ab6ee033",
        "9ab41255-5364-4c53-e15c-08dc4ab6ee0g",
        "9ab41255-5364-4c53-e15c-08dc4ab6ee03\n",
        " 9ab41255-5364-4c53-e15c-08dc4ab6ee03",
        "٩ab41255-5364-4c53-e15c-08dc4ab6ee03",
        "9ab41255-5364-4c53-e15c-08dc4ab6ee03' OR 1=1",
    ],
)
def test_what_is_not_a_guid_is_none(text: str) -> None:
    assert ids.as_guid(text) is None


@given(st.uuids())
def test_every_guid_is_known_as_one(guid: uuid.UUID) -> None:
    assert ids.as_guid(str(guid).upper()) == str(guid)


@given(st.text(max_size=40))
def test_only_what_looks_like_a_guid_is_one(text: str) -> None:
    pattern = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    assert (ids.as_guid(text) is not None) == (re.fullmatch(pattern, text) is not None)


# --- timestamps --------------------------------------------------------------------------------


def test_now_is_stored_in_utc_to_the_tick_with_all_its_digits() -> None:
    before = datetime.now(UTC) - timedelta(microseconds=1)
    stored = ids.utc_now()
    assert STORED.fullmatch(stored)
    assert before <= datetime.fromisoformat(stored) <= datetime.now(UTC)


@given(st.integers(0, 253_402_300_799_999_999_999))
def test_each_stored_time_is_the_clock_cut_to_the_tick(nanoseconds: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: nanoseconds)
        stored = ids.utc_now()
    assert STORED.fullmatch(stored)
    whole = datetime.fromisoformat(stored[:19] + "Z") - datetime(1970, 1, 1, tzinfo=UTC)
    assert whole // timedelta(seconds=1) * 10**7 + int(stored[20:27]) == nanoseconds // 100


@given(st.lists(st.integers(0, 253_402_300_799_999_999_999), min_size=2, max_size=5))
def test_stored_times_sort_as_text(moments: list[int]) -> None:
    stored = []
    with pytest.MonkeyPatch.context() as patch:
        for moment in sorted(moments):
            patch.setattr(time, "time_ns", lambda now=moment: now)
            stored.append(ids.utc_now())
    assert stored == sorted(stored)


@pytest.mark.parametrize(
    ("stored", "printed"),
    [
        ("2024-03-22T21:28:02.7164229Z", "2024-03-22T21:28:02.7164229Z"),
        ("2024-03-22T21:28:03.4953360Z", "2024-03-22T21:28:03.495336Z"),
        ("2024-03-22T21:28:03.0000001Z", "2024-03-22T21:28:03.0000001Z"),
        ("2024-03-22T21:28:03.1000000Z", "2024-03-22T21:28:03.1Z"),
        ("2024-03-22T21:28:00.0000000Z", "2024-03-22T21:28:00Z"),
        ("2000-10-10T10:10:10.0000000Z", "2000-10-10T10:10:10Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_printing_drops_the_zeros_at_the_end_of_the_fraction(stored: str, printed: str) -> None:
    assert ids.printed_time(stored) == printed


@given(st.integers(0, 9_999_999))
def test_the_printed_fraction_is_the_stored_one(fraction: int) -> None:
    printed = ids.printed_time(f"2024-03-22T21:28:02.{fraction:07d}Z")
    [digits] = re.fullmatch(r"2024-03-22T21:28:02(?:\.(\d{1,7}))?Z", printed).groups(default="0")  # type: ignore[union-attr]  # it must match
    assert int(digits.ljust(7, "0")) == fraction
    assert digits == "0" or not digits.endswith("0")


def test_a_moment_is_whole_microseconds_since_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_711_151_282_716_422_999)
    assert ids.microseconds() == 1_711_151_282_716_422
    moment = datetime(2024, 3, 22, 23, 48, 2, 716_422, UTC)
    for same in (
        moment,
        moment.astimezone(timezone(timedelta(hours=5.5))),
        moment.replace(tzinfo=None),
    ):
        assert ids.microseconds_of(same) == 1_711_151_282_716_422
