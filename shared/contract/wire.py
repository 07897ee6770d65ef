"""What every type on the wire shares, and how @odata.type chooses among types."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from shared.contract.field_types import FIELD_MESSAGES, AnyValue, Message, literal
from shared.contract.json_body import repeated_names
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.domain.errors import MAX_FAULTS

_TYPE_PREFIX = "#" + NAMESPACE
_READ_ONLY = frozenset({"id", "createddatetime", "lastmodifieddatetime", "readinessstatus"})
_WIRE_HOOKS = frozenset(
    {
        "use_declared_names",
        "names_come_once",
        "type_is_the_declared_one",
        "keep_type_only_where_printed",
    }
)


class Wire(Schema):
    """What every type shares: names in any case, annotations, redundant types, exact errors."""

    odata_name: ClassVar[str]
    declared_abstract: ClassVar[bool] = False
    """Whether the place that holds this type is declared abstract, so that the type is printed."""

    enough: ClassVar[tuple[str, Mapping[str, str]] | None] = None
    """A member that is all that a type keeps, and what its texts are kept as, by lower case.

    The compiled loader looks no further where such a text is given alone; hooks must agree.
    """

    odata_type = AnyValue(data_key=TYPE_MEMBER, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error_messages = {
            "unknown": Message(
                "UnknownProperty",
                f"The property '{{name}}' does not exist on type '{NAMESPACE}{self.odata_name}'. "
                "Make sure to only use property names that are defined by the type.",
            ),
            "type": Message("InvalidValue", f"Give a JSON object ({self.odata_name})."),
        }
        names = (field.data_key or key for key, field in self.declared_fields.items())
        self._names = {name.lower(): name for name in names}

    def hooks(self, tag: str) -> list[Callable[..., Any]]:
        """Return a type's own hooks of one kind (a tag of marshmallow), without those of Wire."""
        return [getattr(self, name) for name, *_ in self._hooks[tag] if name not in _WIRE_HOOKS]

    def declared_name(self, name: str) -> str:
        """Return a member's name in its declared case, or as it is where no member has it."""
        return self._names.get(name.lower(), name)

    def schema_of(self, name: str, value: Any) -> Wire | None:
        """Return the schema of a complex member; None for plain ones, collections and unknowns."""
        for key, field in self.declared_fields.items():
            if (field.data_key or key) == name:
                if isinstance(field, fields.Nested):
                    inner = field.schema
                    return inner if isinstance(inner, Wire) else None
                if isinstance(field, OneOf) and isinstance(value, Mapping):
                    return instance(chosen_schema(value, field.schemas, field.abstract))
        return None

    @pre_load
    def use_declared_names(self, data: Any, **kwargs: Any) -> Any:
        """Turn names into their declared case; drop what clients may not set.

        Of unknown names, the first MAX_FAULTS are kept: more would not be reported.
        """
        if not isinstance(data, Mapping):
            return data
        named = {}
        unknown = 0
        for key, value in data.items():
            lowered = key.lower()
            declared = self._names.get(lowered)
            if declared is not None:
                named[declared] = value
            elif lowered in _READ_ONLY or _is_ignored_annotation(lowered):
                continue
            elif unknown < MAX_FAULTS:
                unknown += 1
                named[key] = value
        return named

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def names_come_once(self, data: Any, original: Any, **kwargs: Any) -> None:
        """Refuse a member that is given twice, by the same name or in two casings."""
        repeated = repeated_names(original) if isinstance(original, Mapping) else ()
        if repeated:
            raise ValidationError(
                {
                    name: [
                        Message(
                            "DuplicateProperty",
                            f"'{name}' is given more than once (case does not count); keep one.",
                        )
                    ]
                    for name in repeated
                }
            )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def type_is_the_declared_one(self, data: Any, original: Any, **kwargs: Any) -> None:
        """Accept a redundant @odata.type, refuse one that names something else."""
        given = given_type(original)
        if given is not None and type_name(given) != self.odata_name.lower():
            raise ValidationError(
                Message(
                    "InvalidType",
                    f"Expected '#{NAMESPACE}{self.odata_name}' here, not '{literal(given)}'.",
                ),
                TYPE_MEMBER,
            )

    @post_load
    def keep_type_only_where_printed(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Print @odata.type exactly where the declared type is abstract."""
        data.pop("odata_type", None)
        if self.declared_abstract:
            data["odata_type"] = f"#{NAMESPACE}{self.odata_name}"
        return data


def _is_ignored_annotation(lowered: str) -> bool:
    # Control information that clients echo (context, etag, id, collection types) says nothing
    # about the value; a bind does, and is a member of its own where it is allowed.
    return "@" in lowered and not lowered.endswith("@odata.bind")


def given_type(original: Any) -> Any:
    # JSON objects are dicts; checking for one is ten times as fast as checking for a Mapping.
    if not isinstance(original, dict):
        return None
    for key, value in original.items():
        if key == TYPE_MEMBER or key.lower() == TYPE_MEMBER:
            return value
    return None


def type_name(given: object) -> str:
    """Reduce an @odata.type to its bare name in lower case; "" for one of another namespace."""
    if not isinstance(given, str):
        return ""
    lowered = given.rpartition("#")[2].lower()
    prefix = NAMESPACE.lower()
    return lowered.removeprefix(prefix) if lowered.startswith(prefix) else ""


def chosen_schema(value: Any, schemas: Mapping[str, type[Wire]], abstract: str) -> type[Wire]:
    """Return the schema that an object's @odata.type names, or raise a fault that lists them."""
    usual = value.get(TYPE_MEMBER) if isinstance(value, dict) else None
    if isinstance(usual, str) and usual.startswith(_TYPE_PREFIX):
        exact = schemas.get(usual[len(_TYPE_PREFIX) :])
        if exact is not None:
            return exact
    given = given_type(value)
    name = type_name(given)
    for declared, schema in schemas.items():
        if name == declared.lower():
            return schema
    expected = ", ".join(f"'#{NAMESPACE}{name}'" for name in schemas)
    if given is None:
        fault = Message("MissingType", f"Say which type this is; expected {expected}.")
    elif name == abstract.lower():
        fault = Message(
            "AbstractType",
            f"'{NAMESPACE}{abstract}' is abstract and cannot be created; use {expected}.",
        )
    else:
        fault = Message(
            "InvalidType", f"'{literal(given)}' is not a type to use here; use {expected}."
        )
    raise ValidationError({TYPE_MEMBER: [fault]})


@functools.cache
def instance(schema: type[Wire]) -> Wire:
    """Return the one shared instance of a schema: making one costs far more than using it."""
    return schema()


class OneOf(fields.Field[dict[str, Any]]):
    """A complex value whose declared type is abstract: @odata.type says which schema reads it."""

    default_error_messages = FIELD_MESSAGES

    def __init__(self, abstract: str, schemas: Mapping[str, type[Wire]], **kwargs: Any) -> None:
        self.abstract = abstract
        self.schemas = schemas
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError(Message("InvalidValue", f"Give a JSON object ({self.abstract})."))
        schema = chosen_schema(value, self.schemas, self.abstract)
        loaded: dict[str, Any] = instance(schema).load(value)
        return loaded

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return None
        name = type_name(value["odata_type"])
        schema = next(cls for declared, cls in self.schemas.items() if declared.lower() == name)
        return instance(schema).dump(value)


def one(schema: type[Wire], **kwargs: Any) -> fields.Nested:
    """A complex value of a declared concrete type."""
    return fields.Nested(schema, error_messages=FIELD_MESSAGES, **kwargs)
