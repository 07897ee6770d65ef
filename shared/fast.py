"""Loads and dumps plain bodies without marshmallow's machinery, by what the schemas declare.

A schema's fields and hooks are looked up once and kept as plain functions. They read bodies that
have nothing unusual about them; for every other body `load` gives None, and the schema itself
reads it and reports what is wrong. So each rule has one home, the schemas, and a test compares the
two ways (tests/test_fast.py). docs/performance.md has what it saves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, fields, missing

from shared.schemas import NAMESPACE, TYPE_MEMBER, Items, OneOf, Wire, instance

# As marshmallow calls them: the value, the member's name and the object it is in.
Load = Callable[[Any, str | None, Any], Any]
Dump = Callable[[Any], Any]

_DONE_HERE = {
    "use_declared_names",
    "names_come_once",
    "type_is_the_declared_one",
    "keep_type_only_where_printed",
}
"""Hooks of Wire whose work on plain bodies the loader does itself."""


class _NotPlain(Exception):
    """The schema must look at this body."""


def load(schema: type[Wire], body: Any) -> dict[str, Any] | None:
    """Return what the schema would load; None where it must be asked, be it for the faults."""
    try:
        loaded: dict[str, Any] = _object_loader(schema)(body, None, None)
    except (_NotPlain, ValidationError):
        return None
    return loaded


def dump(schema: type[Wire], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the schema would dump of values that it has loaded."""
    dumped: dict[str, Any] = _object_dumper(schema)(values)
    return dumped


# --- loading -----------------------------------------------------------------------------------


@functools.cache
def _object_loader(schema: type[Wire]) -> Load:
    own = instance(schema)
    printed_type = f"#{NAMESPACE}{schema.odata_name}"
    declared = {
        field.attribute or name: field
        for name, field in own.fields.items()
        if field.data_key != TYPE_MEMBER
    }
    members: dict[str, tuple[str, Load, fields.Field[Any]]] = {}
    for key, field in declared.items():
        name = str(field.data_key or field.name)
        members[name] = members[name.lower()] = (key, _loader(field), field)
    awaited = [
        (key, field)
        for key, field in declared.items()
        if field.required or field.load_default is not missing
    ]
    validators = _hooks(own, "validates_schema")
    finishers = _hooks(own, "post_load")
    if _hooks(own, "pre_load") or _hooks(own, "validates"):
        return _refuse

    def load_object(value: Any, attr: str | None, data: Any) -> Any:
        if type(value) is not dict:
            raise _NotPlain
        loaded: dict[str, Any] = {}
        for name, given in value.items():
            if name == TYPE_MEMBER:
                if given != printed_type:
                    raise _NotPlain
                continue
            member = members.get(name) or members.get(name.lower())
            if member is None:
                raise _NotPlain
            key, convert, field = member
            if key in loaded:
                raise _NotPlain  # given in two casings
            loaded[key] = field.deserialize(None) if given is None else convert(given, name, value)
        for key, field in awaited:
            if key not in loaded:
                loaded[key] = field.deserialize(missing)
        for validator in validators:
            validator(loaded)
        if schema.declared_abstract:
            loaded["odata_type"] = printed_type
        for finisher in finishers:
            loaded = finisher(loaded)
        return loaded

    return load_object


def _loader(field: fields.Field[Any]) -> Load:
    if field.validators:
        return _whole_deserialize(field)
    match field:
        case fields.Nested(schema=Wire() as inner):
            return _object_loader(type(inner))
        case OneOf():
            return _choosing_loader(field)
        case Items():
            return _list_loader(field)
    return field._deserialize


def _whole_deserialize(field: fields.Field[Any]) -> Load:
    return lambda value, attr, data: field.deserialize(value, attr, data)


def _refuse(value: Any, attr: str | None, data: Any) -> Any:
    raise _NotPlain


def _choosing_loader(field: OneOf) -> Load:
    loaders = {
        f"#{NAMESPACE}{name}": _object_loader(schema) for name, schema in field.schemas.items()
    }

    def load_chosen(value: Any, attr: str | None, data: Any) -> Any:
        given = value.get(TYPE_MEMBER) if type(value) is dict else None
        chosen = loaders.get(given) if isinstance(given, str) else None
        if chosen is None:
            raise _NotPlain
        return chosen(value, attr, data)

    return load_chosen


def _list_loader(field: Items) -> Load:
    load_entry, most = _loader(field.inner), field.most

    def load_list(value: Any, attr: str | None, data: Any) -> Any:
        if type(value) is not list or len(value) > most:
            raise _NotPlain
        return [load_entry(entry, attr, data) for entry in value]

    return load_list


def _hooks(schema: Wire, tag: str) -> list[Callable[[dict[str, Any]], Any]]:
    """Return the schema's hooks of one kind, but for those of Wire."""
    return [getattr(schema, name) for name, *_ in schema._hooks[tag] if name not in _DONE_HERE]


# --- dumping -----------------------------------------------------------------------------------


@functools.cache
def _object_dumper(schema: type[Wire]) -> Dump:
    members = [
        (field.attribute or name, field.data_key or name, _dumper(field))
        for name, field in instance(schema).dump_fields.items()
    ]

    def dump_object(values: Any) -> Any:
        dumped = {}
        for key, name, convert in members:
            if key in values:
                value = values[key]
                dumped[name] = value if convert is None or value is None else convert(value)
        return dumped

    return dump_object


def _dumper(field: fields.Field[Any]) -> Dump | None:
    """Return how a field's values are converted; None where they are dumped as they are."""
    match field:
        case fields.Nested(schema=Wire() as inner):
            return _object_dumper(type(inner))
        case OneOf():
            dumpers = {
                f"#{NAMESPACE}{name}": _object_dumper(schema)
                for name, schema in field.schemas.items()
            }
            return lambda value: dumpers[value["odata_type"]](value)
        case Items():
            dump_entry = _dumper(field.inner)
            if dump_entry is None:
                return list
            return lambda entries: [dump_entry(entry) for entry in entries]
    return None
