"""The bodies of requests that operators send and Graph does not have."""

from __future__ import annotations

from shared.contract.field_types import Bool, Int32, Text
from shared.contract.wire import Wire


class ResealPasswords(Wire):
    """Which stored passwords are to be sealed with the newest key."""

    odata_name = "resealPasswords"

    after = Text(longest=36)
    top = Int32()
    dry_run = Bool(data_key="dryRun")
    key_id = Text(data_key="keyId")
