"""How an operation is declared beside its handler: what it takes, answers and needs.

OpenAPI, the permission table, 405's Allow and the routes of README come from these declarations.
Nothing here imports the schemas: a cold start reads the declarations and not the types they name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from shared.domain.permissions import Permission

Takes = Literal["collection", "item", "count"]
"""Which query options an operation takes: those of a list, of one entity, or of a plain count."""


_CONDITIONS: Final = ("If-Match", "If-None-Match")
_REFUSED: Final = (404, 412)


@dataclass(frozen=True)
class Contract:
    """What one operation takes and answers, beside what its route says.

    `answers` maps a status to the name of its schema, to a media type (text with a slash) or to
    None for no body; `errors` are the statuses in Graph's error envelope beside those that every
    operation of its sort has. `entity` is the type that its query options are about.
    """

    tag: str
    answers: Mapping[int, str | None]
    body: str | None = None
    takes: Takes | None = None
    entity: str | None = None
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()

    @property
    def media_type(self) -> str | None:
        """The format of the answer's body; None where no answer but an error has one."""
        for schema in self.answers.values():
            if schema is not None:
                return schema if "/" in schema else "application/json"
        return None

    def failing(self, *errors: int) -> Contract:
        """Return this contract with more statuses in the error envelope."""
        return replace(self, errors=(*self.errors, *errors))


@dataclass(frozen=True)
class Operation:
    """One operation as it is registered; `path` starts with a slash."""

    name: str
    method: str
    path: str
    text: str
    needs: Permission | None
    contract: Contract


@dataclass(frozen=True)
class Noun:
    """The six operations that every collection has."""

    tag: str
    schema: str

    def page(self) -> Contract:
        """A page of the collection."""
        return Contract(
            self.tag,
            {200: f"{self.schema}CollectionResponse"},
            takes="collection",
            entity=self.schema,
            headers=("Prefer-page",),
        )

    def count(self) -> Contract:
        """The number of its entities, as text."""
        return Contract(self.tag, {200: "text/plain"}, takes="count", entity=self.schema)

    def get(self) -> Contract:
        """One entity."""
        return Contract(
            self.tag,
            {200: self.schema, 304: None},
            takes="item",
            entity=self.schema,
            headers=_CONDITIONS,
            errors=_REFUSED,
        )

    def create(self) -> Contract:
        """A new entity."""
        return Contract(
            self.tag,
            {201: self.schema, 204: None},
            body=f"{self.schema}Create",
            headers=("Prefer-create",),
        )

    def update(self) -> Contract:
        """A change of one entity."""
        return Contract(
            self.tag,
            {200: self.schema, 204: None},
            body=f"{self.schema}Update",
            headers=("Prefer-update", *_CONDITIONS),
            errors=_REFUSED,
        )

    def delete(self) -> Contract:
        """The end of one entity."""
        return Contract(self.tag, {204: None}, headers=_CONDITIONS, errors=_REFUSED)

    def act(self, answers: Mapping[int, str | None]) -> Contract:
        """An action on one entity, or a read of what belongs to it."""
        return Contract(self.tag, answers, errors=(404,))

    def conditional_act(self, answers: Mapping[int, str | None]) -> Contract:
        """An action on one entity that obeys conditional headers."""
        return Contract(self.tag, answers, headers=_CONDITIONS, errors=_REFUSED)
