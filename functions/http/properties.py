"""Answers with one property of an entity, as a value of its own: `.../{id}/displayName`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import azure.functions as func

from functions.http.replies import no_content, ok, plain_count
from shared.domain.errors import NotFound, UnknownPath

if TYPE_CHECKING:
    from shared.odata.paths import Path


MAX_SEGMENTS: Final = 20


@dataclass(frozen=True)
class Property:
    """What a path names behind an entity, and the form asked for: `$value`, `$count` or none."""

    path: Path
    form: str | None
    cast: str | None

    @property
    def media_type(self) -> str:
        """The format of the answer."""
        return "application/json" if self.form is None else "text/plain"

    def answer(self, req: func.HttpRequest, entity: Mapping[str, Any]) -> func.HttpResponse:
        """Answer with the property of a printed entity: 204 where it is null.

        Raises NotFound where the entity, or an object in it, is not of the type of a cast.
        """
        value = self._of(entity)
        if self.form == "$count":
            return plain_count(len(value or ()))
        if value is None:
            return no_content()
        if self.form == "$value":
            text = value if isinstance(value, str) else json.dumps(value)
            return func.HttpResponse(text, mimetype="text/plain")
        context = {"@odata.context": self._context(entity)}
        return ok(req, {**context, **(value if isinstance(value, Mapping) else {"value": value})})

    def _of(self, entity: Mapping[str, Any]) -> Any:
        from shared.odata.values import has_type

        value: Any = entity
        for step in self.path.steps:
            if value is None:
                return None
            if not has_type(step, value):
                raise NotFound(entity["id"])
            value = value.get(step.name)
        return value

    def _context(self, entity: Mapping[str, Any]) -> str:
        suffix = "/$entity" if self.cast is None else f"/{self.cast}/$entity"
        collection = str(entity["@odata.context"]).removesuffix(suffix)
        cast = "" if self.cast is None else f"/{self.cast}"
        return f"{collection}('{entity['id']}'){cast}/{self.path}"


def property_of(entity_name: str, segments: Sequence[str], cast: str | None) -> Property | None:
    """Return what segments behind an entity of a type name; None where the first is no property.

    Raises UnknownPath for a later segment that leads nowhere.
    """
    from shared.odata.model import ENTITY_TYPES, Complex
    from shared.odata.paths import resolve

    entity = ENTITY_TYPES[entity_name]
    start = entity.narrowed(cast) if cast else entity
    form = segments[-1].lower() if segments[-1].lower() in ("$value", "$count") else None
    names = segments[:-1] if form else segments
    if start is None or not 0 < len(names) <= MAX_SEGMENTS:
        return None

    def refuse(message: str, code: str) -> Exception:
        return UnknownPath(names[-1])

    for end in range(1, len(names) + 1):
        last = end == len(names)
        try:
            path = resolve(start, names[:end], refuse)
        except UnknownPath:
            # A cast names nothing until a property follows it.
            if not last and "." in names[end - 1]:
                continue
            if end == 1:
                return None
            raise UnknownPath(names[end - 1]) from None
    if (form == "$count") != path.collection and form is not None:
        raise UnknownPath(segments[-1])
    if form == "$value" and isinstance(path.type, Complex):
        raise UnknownPath(segments[-1])
    return Property(path, form, cast)
