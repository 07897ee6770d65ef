"""What a request to discard dead letters may say, up to each limit."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract.discards import MAX_NAMES, MAX_REASON, read_discard
from shared.domain.errors import InvalidRequest

NAME = "2001/01/01/000000-1.json"


def names(count: int) -> list[str]:
    return [f"2001/01/01/000000-{number}.json" for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, MAX_NAMES])
@pytest.mark.parametrize("reason", ["x", " x ", "x" * MAX_REASON])
def test_names_and_reasons_are_read_up_to_their_limits(count: int, reason: str) -> None:
    discard = read_discard({"names": names(count), "reason": reason})
    assert (discard.names, discard.reason) == (tuple(names(count)), reason.strip())


def test_all_are_meant_without_names() -> None:
    assert read_discard({"all": True, "reason": "x"}).names is None


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        ({"names": []}, ["$.names"]),
        ({"names": names(MAX_NAMES + 1)}, ["$.names"]),
        ({"names": [NAME, 1]}, ["$.names"]),
        ({"names": "x"}, ["$.names"]),
        ({"reason": " "}, ["$.reason"]),
        ({"reason": "x" * (MAX_REASON + 1)}, ["$.reason"]),
        ({"reason": None}, ["$.reason"]),
        ({"names": [], "reason": ""}, ["$.names", "$.reason"]),
    ],
)
def test_what_is_beyond_a_limit_is_refused(changes: dict[str, Any], targets: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_discard({"names": [NAME], "reason": "x", **changes})
    assert [fault.target for fault in refused.value.faults] == targets


@pytest.mark.parametrize("body", [[], "text", None, 7])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_discard(body)
    assert [fault.target for fault in refused.value.faults] == ["$"]
