"""Checks what a request says about the protocol: versions, formats, options without a value."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote_plus

import azure.functions as func

from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest, NotAcceptable

JSON: Final = "application/json"

_METADATA = re.compile(r"odata\.metadata\s{0,8}=\s{0,8}(minimal|full|none)", re.IGNORECASE)
_NO_WEIGHT = re.compile(r"q\s{0,8}=\s{0,8}0(?:\.0{0,3})?")
_VERSION = re.compile(r"\s{0,8}([0-9]{1,3}\.[0-9]{1,3})\s{0,8}(?:;.{0,100})?")
_MAX_ACCEPT: Final = 1000
_OLDEST, _NEWEST = 4.0, 4.01


def check_versions(req: func.HttpRequest) -> None:
    """Raise InvalidRequest for a version of OData that is not spoken here.

    Answers are in 4.0, bodies in 4.0 or 4.01.
    """
    for name, low, high in (
        ("OData-MaxVersion", _OLDEST, None),
        ("OData-Version", _OLDEST, _NEWEST),
    ):
        given = req.headers.get(name.lower())
        if given is None:
            continue
        match = _VERSION.fullmatch(given)
        version = float(match[1]) if match else 0.0
        if version < low or (high is not None and version > high):
            raise InvalidRequest(
                Fault(
                    "UnsupportedVersion",
                    f"{name}: {given[:64]} is not supported; this service speaks OData 4.0 and "
                    "reads bodies in 4.0 and 4.01.",
                    name,
                )
            )


def check_values(req: func.HttpRequest) -> None:
    """Raise InvalidRequest for query options without a value, which the host leaves out."""
    query = req.url.partition("#")[0].partition("?")[2]
    if not query:
        return
    empty = [
        unquote_plus(name)[:64]
        for name, _, value in (pair.partition("=") for pair in query.split("&"))
        if name and not value
    ]
    if empty:
        raise InvalidRequest(
            *(
                Fault("InvalidValue", f"The query option '{name}' has no value; omit it.", name)
                for name in empty[:MAX_FAULTS]
            )
        )


def check_accepted(req: func.HttpRequest, media_type: str) -> None:
    """Raise NotAcceptable where the answer's format is none that the caller takes.

    In Accept, JSON counts everywhere: it is the format of errors, and clients name it always.
    """
    chosen = _format(req)
    if chosen is not None:
        name = chosen.partition(";")[0].strip().lower()
        # A count is text whatever is asked; query builders add $format=json to its URL, too.
        written = JSON if media_type == "text/plain" else media_type
        if name not in (media_type, written, written.partition("/")[2]):
            raise NotAcceptable(chosen, media_type)
        return
    accept = req.headers.get("accept", "")[:_MAX_ACCEPT]
    ranges = [part for part in accept.split(",") if part.strip()]
    if ranges and not any(_takes(each, media_type) for each in ranges):
        raise NotAcceptable(accept, media_type)


def metadata_level(req: func.HttpRequest) -> str:
    """Return minimal, full or none, as $format or else the Accept header asks."""
    text = _format(req) or req.headers.get("accept", "")
    match = _METADATA.search(text[:_MAX_ACCEPT])
    return match[1].lower() if match else "minimal"


def apply_preference(req: func.HttpRequest, response: func.HttpResponse) -> None:
    """Say that every member of an enum is written, to a caller that prefers this."""
    prefer = req.headers.get("prefer")
    if prefer is None or response.status_code >= 300:
        return
    from shared.odata.prefer import UNKNOWN_MEMBERS, parse_prefer

    if parse_prefer(prefer).unknown_members:
        applied = response.headers.get("Preference-Applied")
        response.headers["Preference-Applied"] = ", ".join(filter(None, (applied, UNKNOWN_MEMBERS)))


def is_format(name: str) -> bool:
    """Tell whether a query option is $format."""
    return name.removeprefix("$").lower() == "format"


def _format(req: func.HttpRequest) -> str | None:
    params: Any = req.params
    return next((params[name] for name in params if is_format(name)), None)


def _takes(media_range: str, media_type: str) -> bool:
    name, *parameters = (part.strip().lower() for part in media_range.split(";"))
    if any(_NO_WEIGHT.fullmatch(each) for each in parameters):
        return False
    kinds = {media_type, JSON}
    return name in ("*/*", "*", *kinds, *(f"{each.partition('/')[0]}/*" for each in kinds))
