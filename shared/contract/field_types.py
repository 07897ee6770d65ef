"""The plain fields of the wire: exact types, limits, and errors with a code to branch on.

marshmallow is lenient by default (it takes "yes" for true and "1" for 1); these fields are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields

from shared.contract.names import NAMESPACE
from shared.domain.secrets import MASKED_PASSWORD, Secret, StoredPassword
from shared.domain.text import hidden_character, is_visible

MAX_NAME = 256
MAX_LITERAL = 120

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Message(str):
    """A fault's sentence that keeps the code a client may branch on.

    marshmallow formats and collects messages as text; a subclass of str passes through unharmed.
    """

    code: str

    def __new__(cls, code: str, text: str) -> Message:
        message = super().__new__(cls, text)
        message.code = code
        return message

    def format(self, *args: object, **kwargs: object) -> Message:
        return Message(self.code, super().format(*args, **kwargs))


def literal(value: object) -> str:
    """Show a bad value in an error as JSON would, short enough to read."""
    if isinstance(value, Mapping):
        return "{…}"
    if isinstance(value, list):
        return "[…]"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_LITERAL else text[:MAX_LITERAL] + "…"


def cannot_convert(value: object, edm_type: str) -> ValidationError:
    return ValidationError(
        Message(
            "InvalidValue",
            f"Cannot convert the literal '{literal(value)}' to the expected type '{edm_type}'.",
        )
    )


FIELD_MESSAGES: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": Message("MissingProperty", "This member is required; add it."),
    "null": Message("NullValue", "This member cannot be null; omit it or give it a value."),
}


class AnyValue(fields.Raw):
    """What is taken as it is; null only where it is allowed."""

    default_error_messages = FIELD_MESSAGES


class Bool(fields.Field[bool]):
    """Edm.Boolean: only true and false, no words and no numbers."""

    default_error_messages = FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise cannot_convert(value, "Edm.Boolean")


class Text(fields.Field[str]):
    """Edm.String of 1 to `longest` characters, all of which can be shown."""

    default_error_messages = FIELD_MESSAGES

    def __init__(self, *, longest: int = MAX_NAME, **kwargs: Any) -> None:
        self.longest = longest
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise cannot_convert(value, "Edm.String")
        if len(value) > self.longest:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"This text has {len(value)} characters; at most {self.longest} are kept.",
                )
            )
        hidden = hidden_character(value)
        if hidden is not None:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"Remove character {hidden + 1} of this text: it cannot be shown.",
                )
            )
        if not is_visible(value):
            raise ValidationError(Message("InvalidValue", "Give text that is not blank."))
        return value


class EnumMember(fields.Field[str]):
    """A member of an evolvable enum by its exact name; the sentinel for readers is refused."""

    default_error_messages = FIELD_MESSAGES

    def __init__(self, enum_type: str, members: Sequence[str], **kwargs: Any) -> None:
        self.enum_type = enum_type
        self.members = tuple(members)
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise cannot_convert(value, NAMESPACE + self.enum_type)
        if value not in self.members:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"'{literal(value)}' is not a member of {self.enum_type}; "
                    f"use one of {', '.join(self.members)}.",
                )
            )
        return value


class Items(fields.List[Any]):
    """A collection. OData has no null collection: null and absent are stored as empty."""

    default_error_messages: dict[str, str | list[Any] | dict[Any, Any]] = {
        **FIELD_MESSAGES,
        "invalid": Message("InvalidValue", "Give a JSON array."),
    }

    def __init__(self, inner: fields.Field[Any], *, most: int, **kwargs: Any) -> None:
        self.most = most
        super().__init__(inner, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self.most:
            # Checked before any entry is: a hostile list costs nothing.
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"There are {len(value)} entries here; give at most {self.most}.",
                )
            )
        return super()._deserialize(value, attr, data, **kwargs)


class OptionalItems(Items):
    """A collection that its declaration calls nullable."""

    def __init__(self, inner: fields.Field[Any], *, most: int, **kwargs: Any) -> None:
        super().__init__(inner, most=most, allow_none=True, load_default=list, **kwargs)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return [] if value is None else super().deserialize(value, *args, **kwargs)


class Password(Text):
    """A password: loaded as Secret, never the mask that readers are shown."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            if isinstance(value, StoredPassword):
                return value
            # The value itself is not repeated, even where it is of the wrong type.
            raise ValidationError(Message("InvalidValue", "Give the password as a JSON string."))
        if value == MASKED_PASSWORD:
            raise ValidationError(
                Message("InvalidValue", "This is the mask of a stored password; send the real one.")
            )
        return Secret(super()._deserialize(value, attr, data, **kwargs))


class Int32(fields.Field[int]):
    """Edm.Int32: a whole number written as one, no text and no fraction."""

    default_error_messages = FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
            raise cannot_convert(value, "Edm.Int32")
        return value


class Code(Text):
    """A code of a list: it becomes part of an id and so of a URL."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        if not _CODE.fullmatch(code):
            raise ValidationError(
                Message("InvalidValue", "A code has letters, digits, '.', '_' and '-' only.")
            )
        return code
