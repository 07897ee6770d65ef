"""Why the host does not start.

HostError: the app, its settings or the port cannot be used; one sentence for each fault.
"""

from __future__ import annotations

from collections.abc import Sequence


class HostError(Exception):
    """The host cannot run this app; `sentences` names every fault and its cure."""

    def __init__(self, sentences: str | Sequence[str]) -> None:
        self.sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        super().__init__("\n".join(self.sentences))
