"""What the handlers call: rules, contract, use cases, adapters. Azure Functions is unknown here."""

from typing import Final

VERSION: Final = "1.0.0"
"""The release: /health and the description of the API name it; CHANGELOG.md says what changed."""
