"""Names that the whole wire contract is written with."""

from __future__ import annotations

NAMESPACE = "microsoft.graph.industryData."
TYPE_MEMBER = "@odata.type"
