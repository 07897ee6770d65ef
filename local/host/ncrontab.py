"""When a timer runs next: NCRONTAB expressions of numbers, as the timer extension reads them.

Times are naive and local, as the extension's are. Day of month and day of week must both match.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: name, lowest value, highest value
_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_YEARS_AHEAD = 30  # 29 February on a given weekday comes back after at most 40 years, usually 28


@dataclass(frozen=True)
class Schedule:
    """A parsed expression: the values that each field accepts."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def matches(self, moment: datetime) -> bool:
        """Whether the schedule names this second."""
        return (
            self._day_fits(moment)
            and moment.hour in self.hours
            and moment.minute in self.minutes
            and moment.second in self.seconds
        )

    def _day_fits(self, moment: datetime) -> bool:
        return (
            moment.month in self.months
            and moment.day in self.days
            and moment.isoweekday() % 7 in self.weekdays
        )

    def after(self, moment: datetime) -> datetime:
        """The next time strictly after `moment`; raises ValueError when none comes in 30 years."""
        at = moment.replace(microsecond=0) + timedelta(seconds=1)
        last_year = min(at.year + _YEARS_AHEAD, datetime.max.year - 1)
        while at.year <= last_year:
            if not self._day_fits(at):
                at = at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0, second=0) + timedelta(hours=1)
            elif at.minute not in self.minutes:
                at = at.replace(second=0) + timedelta(minutes=1)
            elif at.second not in self.seconds:
                at += timedelta(seconds=1)
            else:
                return at
        raise ValueError("it names a day that does not exist")


def _value(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a number, as the local host needs in the {name} field")
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{number} is outside {low}-{high}, the range of the {name} field")
    return number


def _field(text: str, name: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        if slash and not (step_text.isascii() and step_text.isdigit()):
            raise ValueError(f"{item!r} in the {name} field has no number after the slash")
        step = max(int(step_text), 1) if slash else 1
        if span == "*":
            start, end = low, high
        elif "-" in span:
            first, _, last = span.partition("-")
            start, end = sorted((_value(first, name, low, high), _value(last, name, low, high)))
        else:
            start = _value(span, name, low, high)
            end = high if slash else start
        values.update(range(start, end + 1, step))
    return values


def parse_schedule(text: str) -> Schedule:
    """Read "s m h d M w" or "m h d M w"; raises ValueError."""
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} is not an NCRONTAB expression of six fields")
    schedule = Schedule(
        *(frozenset(_field(value, *known)) for value, known in zip(fields, _FIELDS, strict=True))
    )
    schedule.after(datetime(2000, 1, 1))
    return schedule
