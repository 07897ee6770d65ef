"""A function_app.py with the functions of the status page, and none of queue and clock.

What the page reads is counted at the store; what a timer reads must not be among it.
"""

from __future__ import annotations

import azure.functions as func

from functions.http import pages

app = func.FunctionApp()

app.register_functions(pages.bp)
