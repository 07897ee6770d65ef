"""Timer functions that write down their runs."""

from __future__ import annotations

import asyncio
import json
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
runs: dict[str, list[dict[str, object]]] = {
    name: [] for name in ("steady", "slow", "start", "manual", "minutely", "careless")
}


def note(name: str, timer: func.TimerRequest) -> dict[str, object]:
    run: dict[str, object] = {
        "class": f"{type(timer).__module__}.{type(timer).__name__}",
        "began": time.time(),
        "past due": timer.past_due,
    }
    runs[name].append(run)
    return run


@app.timer_trigger(arg_name="timer", schedule="%EVERY_SECOND%", use_monitor=True)
async def steady(timer: func.TimerRequest) -> None:
    """Every second; fails, which must not stop the next run."""
    note("steady", timer)
    raise RuntimeError("failed on purpose")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def slow(timer: func.TimerRequest) -> None:
    """Takes longer than its period."""
    run = note("slow", timer)
    await asyncio.sleep(2.5)
    run["ended"] = time.time()


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
async def start(timer: func.TimerRequest) -> None:
    note("start", timer)


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
async def manual(timer: func.TimerRequest) -> None:
    """Runs when a test starts it, and takes a while."""
    run = note("manual", timer)
    await asyncio.sleep(0.3)
    run["ended"] = time.time()


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def minutely(timer: func.TimerRequest) -> None:
    note("minutely", timer)


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=False)
async def careless(timer: func.TimerRequest) -> None:
    note("careless", timer)


@app.route("runs", methods=["GET"])
async def get_runs(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(runs), mimetype="application/json")
