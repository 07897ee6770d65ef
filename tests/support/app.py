"""The app in the process of a test, with settings of the test's own."""

from __future__ import annotations

from shared import bootstrap
from shared.bootstrap import adapters, connections


def forget() -> None:
    """Have whatever the app built from its settings built again."""
    for module in (connections, adapters, bootstrap):
        for each in vars(module).values():
            if hasattr(each, "cache_clear") and not isinstance(each, type):
                each.cache_clear()
