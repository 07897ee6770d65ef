"""A function_app.py with the readiness queue's function alone.

A measurement of the queue must not share it with timers, which request checks of their own.
"""

from __future__ import annotations

import azure.functions as func

from functions import queue

app = func.FunctionApp()

app.register_functions(queue.bp)
