"""Cold start in fresh interpreters: `python -m bench.cold_start [another python]`.

Time is the CPU time to import the app and index its functions, against a bare
`import azure.functions`; memory is what the process holds after indexing. Another interpreter with
the requirements installed may be named, to measure it as well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from bench.measure import Compared
from local.config import ROOT

TIME_TARGET = "<= 1.4"
MEMORY_TARGET = 35
ROUNDS = 11

_BARE = "import azure.functions"
_APP = "import function_app; function_app.app.get_functions()"
_EAGER = (
    "import azure.cosmos.aio, azure.servicebus.aio, azure.identity.aio, azure.storage.blob.aio, "
    "marshmallow, cryptography.hazmat.primitives.ciphers.aead, jwt, odata_query.grammar; " + _APP
)
_PROBE = """
import resource, sys, time
started = time.process_time()
{code}
spent = time.process_time() - started
try:
    with open("/proc/self/statm") as statm:
        memory = int(statm.read().split()[1]) * resource.getpagesize()
except OSError:  # no Linux: the most that it ever held, which macOS gives in bytes
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(spent * 1000, memory / 1024**2, sys.version.split()[0])
"""


def probe(python: str, code: str, bytecode: str) -> tuple[float, float, str]:
    """Run code in a new interpreter; return milliseconds of CPU, MiB and Python's version.

    `bytecode` is the folder of compiled modules, which is written where one is missing.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run(
        [python, "-c", _PROBE.format(code=code)],
        cwd=ROOT,
        env={**environment, "PYTHONPYCACHEPREFIX": bytecode},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    spent, memory, version = output.split()
    return float(spent), float(memory), version


def measure(python: str, bytecode: str) -> None:
    """Print the ratio and the memory for one interpreter."""
    *_, version = probe(python, _EAGER, bytecode)  # compiles what has no bytecode yet
    pairs, held = [], []
    for _ in range(ROUNDS):
        ours, memory, _ = probe(python, _APP, bytecode)
        pairs.append((ours, probe(python, _BARE, bytecode)[0]))
        held.append(memory)
    print(Compared.of(pairs).line(f"import and index, Python {version}", "ms", TIME_TARGET))
    spent, memory, _ = probe(python, _EAGER, bytecode)
    print(
        f"  memory after indexing: {statistics.median(held):.1f} MiB (target <= {MEMORY_TARGET}); "
        f"with every SDK imported: {memory:.1f} MiB and {spent:.0f} ms"
    )


def main(arguments: list[str]) -> None:
    """Measure this interpreter and those that are named."""
    with tempfile.TemporaryDirectory(prefix="bench-") as bytecode:
        for python in (sys.executable, *arguments):
            measure(python, bytecode)


if __name__ == "__main__":
    main(sys.argv[1:])
