"""Handlers of the clock."""

from __future__ import annotations

import azure.functions as func

from shared import bootstrap

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
async def reconcile_readiness(timer: func.TimerRequest) -> None:
    """Request overdue checks again, announce stored changes, and look after subscriptions."""
    try:
        await bootstrap.reconciliation().run()
    finally:
        await bootstrap.delivering().watch()


@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", use_monitor=True)
async def archive_dead_letters(timer: func.TimerRequest) -> None:
    """Archive what is in the dead-letter queue, with the reason."""
    await bootstrap.archiving().collect()
