"""What the doors call: schemas, rules, storage, messages. Knows nothing of Azure Functions.

A cold start ends when the functions are indexed, and that needs no schema. So the modules that
bring marshmallow with them run at the first use of one of their names; docs/performance.md has what
that saves.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec

LATE = ("contract.schemas", "odata", "contract.events", "description.csdl", "description.openapi")


def _run_late(name: str) -> None:
    full_name = f"{__name__}.{name}"
    spec = find_spec(full_name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"There is no module {full_name}.", name=full_name)
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[full_name] = module
    parent, _, last = full_name.rpartition(".")
    setattr(import_module(parent), last, module)
    spec.loader.exec_module(module)


for _name in LATE:
    _run_late(_name)
