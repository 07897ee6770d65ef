"""What the doors call: schemas, rules, storage, messages. Knows nothing of Azure Functions.

A cold start ends when the functions are indexed, and that needs no schema. So the modules that
bring marshmallow with them run at the first use of one of their names; docs/performance.md has what
that saves. `from shared import schemas` waits for that use, `from shared.schemas import X` is one.
"""

from __future__ import annotations

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

LATE = ("schemas", "odata", "events", "metadata", "openapi")


def _run_late(name: str) -> None:
    full_name = f"{__name__}.{name}"
    spec = find_spec(full_name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"There is no module {full_name}.", name=full_name)
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[full_name] = globals()[name] = module
    spec.loader.exec_module(module)


for _name in LATE:
    _run_late(_name)
