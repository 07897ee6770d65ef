"""Doors about the service itself."""

from __future__ import annotations

import json

import azure.functions as func

bp = func.Blueprint()


@bp.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say that the app is loaded and its settings are complete; asks no other service."""
    from shared import clients

    clients.settings()
    return func.HttpResponse(
        json.dumps({"status": "healthy"}), headers={"Content-Type": "application/json"}
    )
