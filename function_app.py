"""The function app: every door, and nothing else."""

from __future__ import annotations

import azure.functions as func

from functions import flow_sets, provisioning_flows, readiness, service

app = func.FunctionApp()

for module in (flow_sets, provisioning_flows, readiness, service):
    app.register_functions(module.bp)
