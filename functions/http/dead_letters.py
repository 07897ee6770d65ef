"""Handlers of dead letters, for operators; none of them is one of Graph's."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func

from functions.http.operations import route
from functions.http.requests import json_body
from functions.http.service import TAG
from shared import bootstrap
from shared.description.operations import Contract
from shared.domain.permissions import OUTBOUND_FLOW_READ, OUTBOUND_FLOW_WRITE

bp = func.Blueprint()

LETTERS = "status/dead-letters"


@route(
    bp,
    "GET",
    LETTERS,
    OUTBOUND_FLOW_READ,
    Contract(
        TAG,
        {200: "deadLetters"},
        headers=("deadLetters-day", "deadLetters-after", "deadLetters-all"),
        errors=(400,),
    ),
)
async def list_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """Return the oldest dead letters that wait, each with what is wrong with it.

    Those that were put back or discarded wait no more. At most 50 are returned; `more` says whether
    there are others, behind the last name.
    """
    return _json(await bootstrap.dead_letters().page(req.params))


@route(
    bp,
    "GET",
    f"{LETTERS}/letter",
    OUTBOUND_FLOW_READ,
    Contract(TAG, {200: "deadLetter"}, headers=("deadLetters-name",), errors=(400, 404)),
)
async def get_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    """Return what is kept of one dead letter, and why it was discarded."""
    return _json(await bootstrap.dead_letters().one(req.params))


@route(
    bp,
    "POST",
    f"{LETTERS}/replay",
    OUTBOUND_FLOW_WRITE,
    Contract(TAG, {200: "deadLettersReplayed"}, body="deadLettersReplay", errors=(400,)),
)
async def replay_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """Put dead letters back on the queue, each once unless `again` is true.

    One whose event would only be refused again is not put back: its sender has to send it anew.
    """
    return _json(await bootstrap.dead_letters().replay_several(json_body(req)))


@route(
    bp,
    "POST",
    f"{LETTERS}/discard",
    OUTBOUND_FLOW_WRITE,
    Contract(TAG, {200: "deadLettersDiscarded"}, body="deadLettersDiscard", errors=(400,)),
)
async def discard_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """Discard dead letters by name, or all that wait, with a reason.

    What is kept of them stays in the archive. Of `all`, at most 500 are discarded in one request;
    `more` says whether others wait.
    """
    return _json(await bootstrap.dead_letters().discard_several(json_body(req)))


def _json(body: dict[str, Any]) -> func.HttpResponse:
    content = json.dumps(body, ensure_ascii=False)
    return func.HttpResponse(content, headers={"Content-Type": "application/json"})
