"""Dead letters, as the archive keeps them."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from shared.contract.dead_letters import QueueMessage


def dead_letter(body: bytes = b"{}", age: timedelta = timedelta()) -> QueueMessage:
    """A message that was given up: sent `age` ago, delivered five times."""
    return QueueMessage(
        message_id=str(uuid.uuid4()),
        sequence_number=secrets.randbelow(2**50),
        enqueued=datetime.now(UTC) - age,
        delivery_count=5,
        content_type="application/cloudevents+json",
        properties={"DeadLetterReason": "MaxDeliveryCountExceeded"},
        body=body,
    )
