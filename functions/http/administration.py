"""Handlers of what operators do and Graph does not have; the command `industrydata` calls them."""

from __future__ import annotations

import azure.functions as func

from functions.http.operations import INDUSTRY_DATA, operation
from functions.http.replies import ok
from functions.http.requests import json_body
from shared import bootstrap
from shared.description.operations import Contract
from shared.domain.permissions import OUTBOUND_FLOW_WRITE

bp = func.Blueprint()

TAG = "Service"


@operation(
    bp,
    "POST",
    f"{INDUSTRY_DATA}/resealPasswords",
    OUTBOUND_FLOW_WRITE,
    Contract(TAG, {200: "resealedPasswords"}, body="resealPasswords", errors=(409,)),
)
async def reseal_passwords(req: func.HttpRequest) -> func.HttpResponse:
    """Seal stored passwords with the newest key of the ring, those of some flow sets a request.

    Not one of Graph's operations. It is repeated with the `after` of each answer until that is
    null. Readiness, revision and dates of the flows stay, and no password is in the answer. 409
    says that this instance of the service seals with another key than `keyId`.
    """
    return ok(req, await bootstrap.rotation().reseal(json_body(req)))


@operation(
    bp,
    "POST",
    f"{INDUSTRY_DATA}/assignEarlierDocuments",
    OUTBOUND_FLOW_WRITE,
    Contract(TAG, {200: "assignedDocuments"}, errors=(409,)),
)
async def assign_earlier_documents(req: func.HttpRequest) -> func.HttpResponse:
    """Assign what releases before 1.1 stored to the first tenant, some of it a request.

    Not one of Graph's operations. It is repeated until `complete` is true. Requests of that tenant
    do the same, and wait for it.
    """
    return ok(req, await bootstrap.assigning().run())
