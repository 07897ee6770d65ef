"""Compresses answers for callers that take gzip."""

from __future__ import annotations

import gzip
import re
from typing import Final

import azure.functions as func

LEAST_BYTES: Final = 1024
"""Shorter answers stay as they are: a packet holds them anyway."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""Longer answers stay as they are: nothing else is served while one is packed."""
# The fastest: JSON with the same names over and over shrinks to a tenth already.
_LEVEL: Final = 1
_MAX_HEADER: Final = 1000
_NO_WEIGHT: Final = re.compile(r"q\s{0,8}=\s{0,8}0(?:\.0{0,3})?")


def compressed(req: func.HttpRequest, response: func.HttpResponse) -> func.HttpResponse:
    """Return an answer as gzip where the caller takes that and it is long enough, else as it is."""
    body = response.get_body()
    if not LEAST_BYTES < len(body) <= MOST_BYTES:
        return response
    if not takes_gzip(req.headers.get("accept-encoding", "")):
        return response
    headers = {**response.headers, "Content-Encoding": "gzip"}
    is_text = response.mimetype.startswith("text/")
    charset = f"; charset={response.charset}" if is_text else ""
    headers.setdefault("Content-Type", f"{response.mimetype}{charset}")
    # The time in gzip's header would make two alike answers differ.
    packed = gzip.compress(body, _LEVEL, mtime=0)
    return func.HttpResponse(packed, status_code=response.status_code, headers=headers)


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header names gzip, or anything, and does not refuse it."""
    weights: dict[str, bool] = {}
    for part in accept_encoding[:_MAX_HEADER].lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        weights[name] = not any(_NO_WEIGHT.fullmatch(each) for each in parameters)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))
