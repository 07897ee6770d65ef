"""Limits of the request being served."""

from __future__ import annotations

from shared.domain.context import MAX_STEPS, steps, within


def test_a_request_inside_another_shares_its_budget_of_steps() -> None:
    with within(10):
        assert steps().take(MAX_STEPS - 1)
        with within(10):
            assert steps().take()
            assert not steps().take()
        assert steps().left == 0
    with within(10):
        assert steps().left == MAX_STEPS
