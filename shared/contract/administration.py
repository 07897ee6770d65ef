"""The bodies of requests that operators send and Graph does not have."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError

from shared.contract.discards import MAX_NAMES, NAME
from shared.contract.field_types import Bool, Int32, Items, Message, Text
from shared.contract.wire import Wire

_NAME = re.compile(NAME)


class LetterName(Text):
    """The name of a dead letter."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, attr, data, **kwargs)
        if not _NAME.fullmatch(name):
            raise ValidationError(Message("InvalidValue", "Give a name, as the list has it."))
        return name


class ReplayDeadLetters(Wire):
    """Which dead letters are put back on the queue."""

    odata_name = "deadLettersReplay"

    names = Items(LetterName(longest=64), most=MAX_NAMES, required=True)
    again = Bool()


class ResealPasswords(Wire):
    """Which stored passwords are to be sealed with the newest key."""

    odata_name = "resealPasswords"

    after = Text(longest=36)
    top = Int32()
    dry_run = Bool(data_key="dryRun")
    key_id = Text(data_key="keyId")
