"""Loads and dumps plain bodies without marshmallow's machinery, by what the schemas declare.

For each type two functions are generated and compiled at its first use, as one would write them by
hand from what its schema declares; `print(compiled.loading(UserFlow))` shows one. They read bodies
that have nothing unusual about them; for every other body `load` gives None, and the schema itself
reads it and reports what is wrong. So each rule has one home, the schemas, and a test compares the
two ways (tests/contract/test_compiled.py). docs/performance.md has what it saves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from marshmallow import ValidationError, fields, missing

from shared.contract.field_types import Bool, EnumMember, Items, OptionalItems
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.wire import OneOf, Wire, instance

Function = Callable[[Any], Any]
Field = fields.Field[Any]

_KNOWN_HERE = {Bool, EnumMember, fields.Nested, OneOf, Items, OptionalItems}
"""Fields whose rule is written out; those of any other class are called."""


class _NotPlain(Exception):
    """The schema must read this body."""


def load(schema: type[Wire], body: Any) -> dict[str, Any] | None:
    """Return what the schema would load; None where only the schema itself can read the body."""
    try:
        loaded: dict[str, Any] = _loader(schema)(body)
    except (_NotPlain, ValidationError, KeyError, TypeError, AttributeError):
        # The last three come of looking into a value as if it had the expected form.
        return None
    return loaded


def dump(schema: type[Wire], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the schema would dump of values that it has loaded."""
    dumped: dict[str, Any] = _dumper(schema)(values)
    return dumped


@functools.cache
def _loader(schema: type[Wire]) -> Function:
    return loading(schema).compiled()


@functools.cache
def _dumper(schema: type[Wire]) -> Function:
    return dumping(schema).compiled()


class Source:
    """The text of a function `run`, and the values that it has names for."""

    def __init__(self, parameters: str) -> None:
        self.lines = [f"def run({parameters}):"]
        self.values: dict[str, Any] = {"missing": missing, "refuse": _refuse}

    def __str__(self) -> str:
        return "\n    ".join(self.lines)

    def add(self, *lines: str) -> None:
        """Add lines to the function's body."""
        self.lines += lines

    def name(self, value: Any) -> str:
        """Return a name for a value that the text is to use."""
        name = f"_{len(self.values)}"
        self.values[name] = value
        return name

    def compiled(self) -> Function:
        """Return the function. Its text is made of declarations only, never of what is sent."""
        exec(str(self), self.values)  # noqa: S102 - as the standard library makes dataclasses
        run: Function = self.values["run"]
        return run


def _refuse() -> NoReturn:
    raise _NotPlain


# --- loading -----------------------------------------------------------------------------------


def loading(schema: type[Wire]) -> Source:
    """Write the function that loads a plain object of a type."""
    own, source = instance(schema), Source("given, renamed=False")
    if own.hooks("pre_load") or own.hooks("validates"):
        source.add("refuse()")
        return source
    members = [field for field in own.load_fields.values() if field.data_key != TYPE_MEMBER]
    _take(schema, members, source)
    loaded = [_loaded_member(field, source) for field in members]
    if schema.declared_abstract:
        loaded.append(f"'odata_type': {_type(schema)!r}")
    source.add(f"loaded = {{{', '.join(loaded)}}}")
    source.add(*(f"{source.name(check)}(loaded)" for check in own.hooks("validates_schema")))
    source.add(*(f"loaded = {source.name(finish)}(loaded)" for finish in own.hooks("post_load")))
    source.add("return loaded")
    return source


def _take(schema: type[Wire], members: Sequence[Field], source: Source) -> None:
    """Write how each member gets into a variable, with none required missing and none left."""
    names = {name.lower(): name for name in (TYPE_MEMBER, *map(_name, members))}
    renamed = f"{source.name(_in_declared_names)}(given, {source.name(names)}, renamed)"
    required = [field for field in members if field.required]
    source.add(
        "if type(given) is not dict: refuse()",
        f"left = len(given) - {len(required)}",
        f"if {TYPE_MEMBER!r} in given:",
        f"    if given[{TYPE_MEMBER!r}] != {_type(schema)!r}: refuse()",
        "    left -= 1",
    )
    if required:
        source.add(f"if {' and '.join(f'{_name(field)!r} in given' for field in required)}:")
        source.add(*(f"    {_variable(field)} = given[{_name(field)!r}]" for field in required))
        source.add(f"else: return run({renamed}, True)")
    for field in members:
        if not field.required:
            source.add(f"if {_name(field)!r} in given:")
            source.add(f"    {_variable(field)} = given[{_name(field)!r}]; left -= 1")
            source.add(f"else: {_variable(field)} = missing")
    source.add(f"if left: return run({renamed}, True)")


def _in_declared_names(
    given: dict[str, Any], names: Mapping[str, str], renamed: bool
) -> dict[str, Any]:
    """Return an object's members by their declared names, unless that was done already."""
    named = {names[name.lower()]: value for name, value in given.items()}
    if renamed or len(named) < len(given):
        raise _NotPlain  # there are others, or one is given twice
    return named


def _loaded_member(field: Field, source: Source) -> str:
    """Write an entry of a dict, for a member that is in its variable."""
    key, variable = _key(field), _variable(field)
    value = _loaded(field, variable, source)
    if field.required:
        return f"{key!r}: {value}"
    if field.load_default is missing:
        return f"**({{}} if {variable} is missing else {{{key!r}: {value}}})"
    default = source.name(functools.partial(field.deserialize, missing))
    return f"{key!r}: {default}() if {variable} is missing else {value}"


def _loaded(field: Field, value: str, source: Source) -> str:
    """Write what is loaded for a value; `value` is how the text calls it."""
    if field.validators or field.pre_load or field.post_load:
        return f"{source.name(field.deserialize)}({value})"
    null = f"{source.name(functools.partial(field.deserialize, None))}() if {value} is None else "
    match field if type(field) in _KNOWN_HERE else None:
        case Bool():
            plain = f"{value} if type({value}) is bool else refuse()"
        case EnumMember(members=members):
            plain = f"{value} if {value} in {source.name(frozenset(members))} else refuse()"
        case Items(inner=inner, most=most):
            entries = f"[{_loaded(inner, 'entry', source)} for entry in {value}]"
            plain = f"{entries} if type({value}) is list and len({value}) <= {most} else refuse()"
        case OneOf(schemas=schemas):
            loaders = {_type(schema): _loader(schema) for schema in schemas.values()}
            plain = f"{source.name(loaders)}[{value}[{TYPE_MEMBER!r}]]({value})"
        case fields.Nested(schema=Wire() as own):
            plain = _loaded_object(type(own), value, source)
        case _:
            place = "None, None" if value == "entry" else f"{_name(field)!r}, given"
            return f"{source.name(field.deserialize)}({value}, {place})"
    return null + plain if field.allow_none else plain  # which refuses null


def _loaded_object(schema: type[Wire], value: str, source: Source) -> str:
    loader = f"{source.name(_loader(schema))}({value})"
    if schema.enough is None:
        return loader
    name, texts = schema.enough
    return (
        f"{{{name!r}: {source.name(texts)}[{value}[{name!r}].lower()]}}"
        f" if type({value}) is dict and {name!r} in {value} and (len({value}) == 1"
        f" or len({value}) == 2 and {value}.get({TYPE_MEMBER!r}) == {_type(schema)!r})"
        f" else {loader}"
    )


# --- dumping -----------------------------------------------------------------------------------


def dumping(schema: type[Wire]) -> Source:
    """Write the function that dumps what was loaded of a type."""
    source = Source("given")
    source.add(f"return {_dumped_object(schema, 'given', source)}")
    return source


def _dumped_object(schema: type[Wire], value: str, source: Source) -> str:
    members = []
    for field in instance(schema).dump_fields.values():
        member = f"{_name(field)!r}: {_dumped(field, f'{value}[{_key(field)!r}]', source)}"
        if field.data_key == TYPE_MEMBER:
            members += [member] if schema.declared_abstract else []
        elif field.required or field.load_default is not missing or schema.enough:
            members.append(member)
        else:
            members.append(f"**({{{member}}} if {_key(field)!r} in {value} else {{}})")
    return f"{{{', '.join(members)}}}"


def _dumped(field: Field, value: str, source: Source) -> str:
    """Write what is dumped for a value; `value` is how the text calls it."""
    match field:
        case Items():
            entry = _dumped(field.inner, "entry", source)
            dumped = f"[{entry} for entry in {value}]"
        case OneOf():
            dumpers = {_type(schema): _dumper(schema) for schema in field.schemas.values()}
            dumped = f"{source.name(dumpers)}[{value}['odata_type']]({value})"
        case fields.Nested(schema=Wire() as inner):
            dumped = _dumped_object(type(inner), value, source)
        case _:
            return value
    return f"None if {value} is None else {dumped}" if field.allow_none else dumped


# --- names -------------------------------------------------------------------------------------


def _key(field: Field) -> str:
    return str(field.attribute or field.name)


def _name(field: Field) -> str:
    return str(field.data_key or field.name)


def _variable(field: Field) -> str:
    return f"its_{field.name}"


def _type(schema: type[Wire]) -> str:
    return f"#{NAMESPACE}{schema.odata_name}"
