"""HTTP functions that show what the host gave them and what it makes of their answers."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import azure.functions as func

IMPORT_LOOP = asyncio.get_running_loop()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
bp = func.Blueprint()


def reply(value: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value), status_code=status, mimetype="application/json")


def show(req: func.HttpRequest) -> func.HttpResponse:
    return reply(
        {
            "class": f"{type(req).__module__}.{type(req).__name__}",
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().decode("latin-1"),
        }
    )


@app.route("echo/{*rest}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return show(req)


@app.route("items/{id}/parts/{part}", methods=["GET", "PUT"])
async def parts(req: func.HttpRequest) -> func.HttpResponse:
    return show(req)


@app.route("order/{id}", methods=["GET"])
async def order_a(req: func.HttpRequest) -> func.HttpResponse:
    return reply("order_a")


@app.route("order/recent", methods=["GET"])
async def order_b(req: func.HttpRequest) -> func.HttpResponse:
    return reply("order_b")


@app.route("under/{id}", methods=["GET"])
async def under_score(req: func.HttpRequest) -> func.HttpResponse:
    return reply("under_score")


@app.route("under/score", methods=["GET"])
async def underscore(req: func.HttpRequest) -> func.HttpResponse:
    return reply("underscore")


@bp.route(methods=["GET"])
async def unnamed(req: func.HttpRequest) -> func.HttpResponse:
    """Without a route the function's name is its route."""
    return reply("unnamed")


app.register_blueprint(bp)


@app.route("surroundings", methods=["GET"])
async def surroundings(req: func.HttpRequest) -> func.HttpResponse:
    logging.getLogger("app.surroundings").info("logged by the app")
    return reply(
        {
            "directory": str(Path(__file__).parent),
            "same loop": asyncio.get_running_loop() is IMPORT_LOOP,
            "cwd": str(Path.cwd()),
            "last path": sys.path[-1],
            "level": logging.getLogger().level,
            "from file": os.environ.get("FROM_FILE"),
            "from both": os.environ.get("FROM_BOTH"),
        }
    )


def upper(
    call: Callable[..., Awaitable[func.HttpResponse]],
) -> Callable[..., Awaitable[func.HttpResponse]]:
    @functools.wraps(call)
    async def wrapper(*args: func.HttpRequest, **kwargs: func.HttpRequest) -> func.HttpResponse:
        answer = await call(*args, **kwargs)
        return func.HttpResponse(answer.get_body().upper(), status_code=answer.status_code)

    return wrapper


@app.route("wrapped", methods=["GET"])
@upper
async def wrapped(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("quiet")


@app.route("text", methods=["GET"])
async def text(req: func.HttpRequest) -> str:
    return "grüße"


@app.route("answers/{kind}", methods=["GET", "HEAD"])
async def answers(req: func.HttpRequest) -> func.HttpResponse:
    kind = req.route_params["kind"]
    if kind == "default":
        return func.HttpResponse("plain")
    if kind == "explicit":
        return func.HttpResponse("{}", headers={"Content-Type": "application/x-own"})
    if kind == "repeated":
        answer = func.HttpResponse("")
        answer.headers.add("X-Many", "first")
        answer.headers.add("X-Many", "last")
        answer.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
        answer.headers.add("Set-Cookie", "b=2")
        return answer
    if kind == "length":
        return func.HttpResponse("12345", headers={"Content-Length": "5"})
    if kind == "wrong-length":
        return func.HttpResponse("12345", headers={"Content-Length": "4"})
    if kind == "empty":
        return func.HttpResponse("")
    if kind == "process":
        return reply(os.getpid())
    if kind == "blocked":
        time.sleep(60)  # noqa: ASYNC251 - it holds the event loop
    if kind == "newline":
        return func.HttpResponse("", headers={"X-Bad": "one\r\nX-Two: two"})
    if kind == "surrogate":
        return func.HttpResponse("", headers={"X-Bad": "\ud800"})
    if kind == "nothing":
        return func.HttpResponse("too much", status_code=204)
    if kind == "none":
        return None  # type: ignore[return-value]  # what the worker makes of it is the point
    if kind == "dict":
        return {"a": 1}  # type: ignore[return-value]  # the same
    if kind == "exit":
        sys.exit(3)
    if kind == "cancelled":
        raise asyncio.CancelledError
    if kind == "pause":
        await asyncio.sleep(1)
        return reply("rested")
    if kind == "slow":
        await asyncio.sleep(60)
    raise RuntimeError("raised on purpose")


@app.route("noop", methods=["GET"])
async def noop(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("ok")
