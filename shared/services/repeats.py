"""Recognises a create that its client repeats, because it gave up waiting for the first answer."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from shared.contract.json_body import write_json
from shared.domain.context import current_caller


@dataclass(frozen=True)
class Repeats:
    """Tells repeats from new requests; `key` keeps what was sent from being guessed by a digest."""

    key: bytes

    def digest(self, path: str, client_request_id: str | None, body: Any) -> str | None:
        """Return 32 hexadecimal digits that only repeats of one create at `path` have in common.

        That is a request of the same caller with the same client-request-id and the same body,
        where neither white space nor the order of members counts. None where repeats cannot be
        recognised: without an id, of a user without an object id, and of a body with numbers or
        depths that only members that are ignored can have.
        """
        caller = current_caller.get()
        if client_request_id is None or caller is None:
            return None
        if caller.kind == "delegated" and caller.object_id is None:
            return None
        request = {
            "caller": [caller.kind, caller.tenant, caller.object_id, caller.app_id],
            "path": path,
            "clientRequestId": client_request_id,
            "body": body,
        }
        try:
            text = write_json(request, sort_keys=True)
        except TypeError:
            return None
        return hmac.new(self.key, text, "sha256").hexdigest()[:32]
