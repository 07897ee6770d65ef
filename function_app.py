"""The function app: every handler, and nothing else."""

from __future__ import annotations

import azure.functions as func

from functions import queue, timers
from functions.http import (
    administration,
    batch,
    dead_letters,
    flow_sets,
    pages,
    provisioning_flows,
    reference_definitions,
    role_groups,
    service,
    subscriptions,
)

app = func.FunctionApp()

for module in (
    flow_sets,
    provisioning_flows,
    role_groups,
    reference_definitions,
    batch,
    administration,
    queue,
    timers,
    pages,
    dead_letters,
    service,
    subscriptions,
):
    app.register_functions(module.bp)
