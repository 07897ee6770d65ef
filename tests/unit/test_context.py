"""Limits of the request being served."""

from __future__ import annotations

from shared.domain.context import MAX_STEPS, left, steps, within


def test_a_request_inside_another_shares_its_budget_of_steps() -> None:
    with within(10):
        assert steps().take(MAX_STEPS - 1)
        with within(10):
            assert steps().take()
            assert not steps().take()
        assert steps().left == 0
    with within(10):
        assert steps().left == MAX_STEPS


def test_an_inner_deadline_does_not_extend_an_outer_one() -> None:
    with within(1), within(60):
        assert 0 < left(100) <= 1
    with within(60):
        assert left(5) == 5
        assert 50 < left(100) <= 60
    with within(-1):
        assert left(5) == 0
