"""A function_app.py with the functions of flow sets and flows, and none of queue and clock.

A measurement of HTTP must not share its process with readiness checks.
"""

from __future__ import annotations

import azure.functions as func

from functions.http import flow_sets, provisioning_flows

app = func.FunctionApp()

for module in (flow_sets, provisioning_flows):
    app.register_functions(module.bp)
