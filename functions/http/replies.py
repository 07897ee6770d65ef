"""Answers in Graph's form: entities, pages, counts, and what conditional and Prefer headers ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import azure.functions as func

from functions.http.negotiation import metadata_level
from functions.http.requests import conditions, service_root
from shared.contract.json_body import write_json
from shared.domain.conditions import Conditions, names_tag

if TYPE_CHECKING:
    from shared.services.representations import Collection, Representation

JSON: Final = {
    level: f"application/json;odata.metadata={level};odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
    for level in ("minimal", "full", "none")
}
"""Content-Type by the metadata that a client asks for."""

# Without a header of its own an empty body would be text/plain; an empty one is not sent.
_NO_TYPE: Final = {"Content-Type": ""}
# Of a URL, what may stand in a header as it is.
_URL_SAFE: Final = "%/:?#[]@!$&'()*+,;=~"


def ok(req: func.HttpRequest, body: Mapping[str, Any]) -> func.HttpResponse:
    """Answer 200 with an object that is no entity."""
    return _json(req, 200, body, metadata_level(req))


def collection(req: func.HttpRequest, page: Collection) -> func.HttpResponse:
    """Answer 200 with a page of a collection."""
    response = ok(req, page.body)
    link = page.body.get("@odata.nextLink")
    if link is not None:
        # PowerShell's -FollowRelLink reads this one.
        response.headers["Link"] = f'<{quote(link, safe=_URL_SAFE)}>; rel="next"'
    if page.preference_applied is not None:
        response.headers["Preference-Applied"] = page.preference_applied
    return response


def entity(req: func.HttpRequest, found: Representation, status: int = 200) -> func.HttpResponse:
    """Answer with an entity, or 304 to a GET where the caller has all of this answer already.

    The documented bodies hold no ETag: it is given only to callers that ask for full metadata or
    send a conditional header. Raises PreconditionFailed for a GET of another version.
    """
    level = metadata_level(req)
    given = conditions(req)
    if not given and level != "full":
        return _json(req, status, found.body, level)
    tag = found.tag()
    if req.method == "GET":
        Conditions(given.if_match).require(found.version)
        if given.if_none_match is not None and names_tag(given.if_none_match, tag):
            return func.HttpResponse(status_code=304, headers={"ETag": tag})
    first = ("@odata.context", "@odata.type", "@odata.id")
    control = {name: found.body[name] for name in first if name in found.body}
    response = _json(req, status, {**control, "@odata.etag": tag, **found.body}, level)
    response.headers["ETag"] = tag
    return response


def created(req: func.HttpRequest, new: Representation) -> func.HttpResponse:
    """Answer 201 with the new entity and where it can be read.

    `Prefer: return=minimal` gets 204 instead, with the same address.
    """
    # Names are in their declared case, however the caller wrote them. Ids hold nothing that a URL
    # would have to escape (domain/ids.py, contract/field_types.py).
    collection = str(new.body["@odata.context"]).partition("#")[2].removesuffix("/$entity")
    path = collection.replace("('", "/").replace("')", "")
    location = f"{service_root(req)}/{path}/{new.body['id']}"
    if _preferred(req) == "minimal":
        response = no_content()
        response.headers["OData-EntityId"] = location
        response.headers["Preference-Applied"] = "return=minimal"
    else:
        response = entity(req, new, 201)
    response.headers["Location"] = location
    return response


def updated(req: func.HttpRequest, changed: Representation) -> func.HttpResponse:
    """Answer 204; `Prefer: return=representation` gets 200 with the entity as it is now."""
    if _preferred(req) != "representation":
        return no_content()
    response = entity(req, changed)
    response.headers["Preference-Applied"] = "return=representation"
    return response


def plain_count(number: int) -> func.HttpResponse:
    """Answer 200 with a bare number as text."""
    return func.HttpResponse(str(number), mimetype="text/plain")


def accepted() -> func.HttpResponse:
    """Answer 202: it will be done."""
    return func.HttpResponse(status_code=202, headers=_NO_TYPE)


def no_content() -> func.HttpResponse:
    """Answer 204: done, without a body."""
    return func.HttpResponse(status_code=204, headers=_NO_TYPE)


def _preferred(req: func.HttpRequest) -> str | None:
    header = req.headers.get("prefer")
    if header is None:
        return None
    from shared.odata.prefer import parse_prefer

    return parse_prefer(header).returns


def _json(
    req: func.HttpRequest, status: int, body: Mapping[str, Any], level: str
) -> func.HttpResponse:
    content = _without_metadata(body) if level == "none" else _addressed(req, body)
    if level == "full":
        from shared.odata.full import with_full_metadata

        content = with_full_metadata(content, service_root(req))
    return func.HttpResponse(
        write_json(content), status_code=status, headers={"Content-Type": JSON[level]}
    )


def _addressed(req: func.HttpRequest, body: Mapping[str, Any]) -> Any:
    """Put the root before the ids of entities that $select, maybe in $expand, left without one."""
    selects = any("select" in f"{name} {text}".lower() for name, text in req.params.items())
    return _absolute(body, service_root(req)) if selects else body


def _absolute(value: Any, root: str) -> Any:
    if isinstance(value, Mapping):
        return {
            name: f"{root}/{inner}" if name == "@odata.id" else _absolute(inner, root)
            for name, inner in value.items()
        }
    return [_absolute(inner, root) for inner in value] if isinstance(value, list) else value


def _without_metadata(value: Any) -> Any:
    """Omit all control information except what a client cannot work without."""
    if isinstance(value, Mapping):
        return {
            name: _without_metadata(inner)
            for name, inner in value.items()
            if "@odata." not in name or name in ("@odata.nextLink", "@odata.count")
        }
    return [_without_metadata(inner) for inner in value] if isinstance(value, list) else value
