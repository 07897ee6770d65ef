"""Measures all there is against peers: `make bench`, or `python -m bench [name ...]`."""

from __future__ import annotations

import platform
import subprocess
import sys
import time

NAMES = (
    "path",
    "validation",
    "cold_start",
    "first_create",
    "requests",
    "create_cpu",
    "notifications",
    "http",
    "readiness",
    "growth",
    "tenants",
    "status_page",
    "worst_case",
)


def main(names: list[str]) -> int:
    """Run the named measurements, or all, each in a process of its own; 1 when one fails."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"There is no {', '.join(unknown)}: choose of {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    print(f"{platform.platform()}, Python {platform.python_version()}")
    print(f"{'':<49} {'ours':>10} {'theirs':>10}       median ratio (middle half)")
    failed = []
    for name in names or NAMES:
        started = time.monotonic()
        print(name, flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            failed.append(name)
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
