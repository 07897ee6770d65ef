"""Handlers of reference definitions."""

from __future__ import annotations

import re

import azure.functions as func

from functions.http.operations import INDUSTRY_DATA, operation
from functions.http.replies import collection, created, entity, no_content, plain_count, updated
from functions.http.requests import asked, client_request_id, conditions, json_body
from shared import bootstrap
from shared.description.operations import Noun
from shared.domain.errors import NotFound
from shared.domain.permissions import REFERENCE_GET, REFERENCE_LIST, REFERENCE_WRITE

bp = func.Blueprint()

DEFINITIONS = f"{INDUSTRY_DATA}/referenceDefinitions"
DEFINITION = DEFINITIONS + "/{definition_id}"
NOUN = Noun("Reference definitions", "referenceDefinition")
_ID = re.compile(r"[A-Za-z0-9]{1,64}-[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@operation(bp, "GET", DEFINITIONS, REFERENCE_LIST, NOUN.page())
async def list_reference_definitions(req: func.HttpRequest) -> func.HttpResponse:
    """Return the reference definitions, built in and added."""
    return collection(req, await bootstrap.reference_definitions().page(asked(req)))


@operation(bp, "GET", DEFINITIONS + "/$count", REFERENCE_LIST, NOUN.count())
async def count_reference_definitions(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of reference definitions."""
    return plain_count(await bootstrap.reference_definitions().count(asked(req)))


@operation(bp, "GET", DEFINITION, REFERENCE_GET, NOUN.get())
async def get_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Return one reference definition."""
    found = await bootstrap.reference_definitions().get(_definition_id(req), asked(req))
    return entity(req, found)


@operation(bp, "POST", DEFINITIONS, REFERENCE_WRITE, NOUN.create().failing(409))
async def create_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Add an entry to one of the code lists that can be extended."""
    new = await bootstrap.reference_definitions().create(json_body(req), client_request_id(req))
    return created(req, new)


@operation(bp, "PATCH", DEFINITION, REFERENCE_WRITE, NOUN.update().failing(409))
async def update_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name, the place or the state of an entry."""
    definitions, definition_id = bootstrap.reference_definitions(), _definition_id(req)
    changed = await definitions.update(definition_id, json_body(req), conditions(req))
    return updated(req, changed)


@operation(bp, "DELETE", DEFINITION, REFERENCE_WRITE, NOUN.delete())
async def delete_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Disable an entry: it stays readable, for data that refers to it."""
    await bootstrap.reference_definitions().disable(_definition_id(req), conditions(req))
    return no_content()


def _definition_id(req: func.HttpRequest) -> str:
    text: str = req.route_params["definition_id"]
    if not _ID.fullmatch(text):
        raise NotFound(text[:64])
    return text
