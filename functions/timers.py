"""Handlers of the clock."""

from __future__ import annotations

import azure.functions as func

from shared import bootstrap

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
async def reconcile_readiness(timer: func.TimerRequest) -> None:
    """Request overdue checks again, and announce stored changes of the catalog."""
    await bootstrap.reconciler().run()


@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", use_monitor=True)
async def archive_dead_letters(timer: func.TimerRequest) -> None:
    """Archive what is in the dead-letter queue, with the reason."""
    await bootstrap.dead_letters().collect()


@bp.timer_trigger(arg_name="timer", schedule="15 * * * * *", use_monitor=True)
async def watch_subscriptions(timer: func.TimerRequest) -> None:
    """Remove subscriptions that have ended, and have served those that have something due."""
    await bootstrap.deliveries().watch()
