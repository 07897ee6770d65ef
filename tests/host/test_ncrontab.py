"""When timers run next."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.ncrontab import Schedule, parse_schedule

START = datetime(2026, 11, 24, 10, 30, 15)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * * *", datetime(2026, 11, 24, 10, 30, 16)),
        ("0 */5 * * * *", datetime(2026, 11, 24, 10, 35)),
        ("*/5 * * * *", datetime(2026, 11, 24, 10, 35)),
        ("15 30 10 * * *", datetime(2026, 11, 25, 10, 30, 15)),
        ("0 0 9-17 * * 1-5", datetime(2026, 11, 24, 11)),
        ("0 0 0 * * 0", datetime(2026, 11, 29)),
        ("0 0 0 1 1 *", datetime(2027, 1, 1)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29)),
        ("0 0 0 13 * 5", datetime(2027, 8, 13)),
        ("0 20/15 * * * *", datetime(2026, 11, 24, 10, 35)),
        ("0 10,50 * * * *", datetime(2026, 11, 24, 10, 50)),
        ("0 50-40/5 * * * *", datetime(2026, 11, 24, 10, 40)),
    ],
)
def test_next_time(text: str, expected: datetime) -> None:
    assert parse_schedule(text).after(START) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "0 0 24 * * *",
        "0 0 0 0 * *",
        "0 0 0 32 * *",
        "0 0 0 * 13 *",
        "0 0 0 * * 7",
        "0 0 0 * JAN *",
        "0 */x * * * *",
        "0 1- * * * *",
        "0 , * * * *",
        "0 ² * * * *",
        "0 0 0 30 2 *",
        "00:05:00",
        "soon",
    ],
)
def test_bad_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_schedule(text)


def fields(low: int, high: int) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.integers(low, high), min_size=1, max_size=4)


schedules = st.builds(
    Schedule,
    seconds=fields(0, 59),
    minutes=fields(0, 59),
    hours=fields(0, 23),
    days=st.just(frozenset(range(1, 32))) | fields(1, 28),
    months=fields(1, 12),
    weekdays=st.just(frozenset(range(7))),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1))


@given(schedules, moments)
def test_next_time_is_later_and_fits(schedule: Schedule, moment: datetime) -> None:
    found = schedule.after(moment)
    assert found > moment
    assert schedule.matches(found)


@given(schedules, moments)
def test_no_earlier_time_fits(schedule: Schedule, moment: datetime) -> None:
    found = schedule.after(moment)
    # Any fitting second before it would be found from a moment in between, too.
    middle = moment + (found - moment) / 2
    assert schedule.after(middle) == found


@given(schedules, moments, st.integers(1, 4000))
def test_seconds_before_the_next_time_do_not_fit(
    schedule: Schedule, moment: datetime, back: int
) -> None:
    found = schedule.after(moment)
    earlier = found - timedelta(seconds=back)
    assert earlier <= moment or not schedule.matches(earlier)


@given(
    st.lists(st.integers(0, 59), min_size=1, max_size=5),
    st.lists(st.integers(0, 23), min_size=1, max_size=5),
)
def test_lists_are_read_as_written(minutes: list[int], hours: list[int]) -> None:
    text = f"0 {','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    schedule = parse_schedule(text)
    assert (schedule.minutes, schedule.hours) == (frozenset(minutes), frozenset(hours))


@given(st.integers(0, 59), st.integers(0, 59), st.integers(1, 59))
def test_range_with_step(first: int, last: int, step: int) -> None:
    schedule = parse_schedule(f"{first}-{last}/{step} * * * * *")
    assert schedule.seconds == set(range(min(first, last), max(first, last) + 1, step))
