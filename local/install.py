"""Installs what a make target needs, once: `python3 local/install.py run`, `test` or `check`.

It runs under any Python 3, however old, to say which one to install: only the standard library, and
no syntax that is newer than Python 3.6.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOGS = ROOT / ".local" / "logs"

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)
OLDEST_NODE = 20
HEARTBEAT_SECONDS = 5
TAIL_LINES = 25

# For each kind of target: its requirements file, and the folders whose npm packages it needs.
KINDS = {
    "run": ("local/requirements.txt", ("local",)),
    "test": ("requirements-dev.txt", ("local", "tests")),
    "check": ("requirements-dev.txt", ()),
}
NPM_PACKAGES = {
    "local": "Azurite and the Cosmos DB emulator",
    "tests": "the JavaScript SDKs and the checkers that the tests use",
}
# The names under which tests/pages/browser.py looks for a browser.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What each requirements file consists of: one includes the other.
PARTS = {
    "local/requirements.txt": ("requirements.txt", "local/requirements.txt"),
    "requirements-dev.txt": (
        *("requirements.txt", "local/requirements.txt"),
        *("requirements-dev.txt", "cli/pyproject.toml"),
    ),
}


class InstallError(Exception):
    """A step failed; the text has the end of its log and says what to do."""


def missing_prerequisites(needs_node: bool) -> "list[str]":
    """Return a sentence for each program that the user has to install first."""
    faults = []
    if not _venv_works():
        faults += _python_faults()
    if needs_node:
        faults += _node_faults()
    return faults


def _python_faults() -> "list[str]":
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return [
            "This is Python {}.{}. Install Python 3.11, 3.12 or 3.13 and name it, for example "
            "`make run PYTHON=python3.12`.".format(*sys.version_info[:2])
        ]
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return [
            "This Python cannot make virtual environments. Install its `venv` module (on Debian "
            "and Ubuntu the package python{}.{}-venv).".format(*sys.version_info[:2])
        ]
    return []


def _node_faults() -> "list[str]":
    if shutil.which("node") is None:
        return ["There is no `node` on PATH. Install Node.js 20 or newer, which includes npm."]
    try:
        answer = subprocess.check_output(["node", "--version"]).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        answer = "a version that does not start"
    major = answer.lstrip("v").split(".")[0]
    if not major.isdigit() or int(major) < OLDEST_NODE:
        return [f"This is Node.js {answer}. Install Node.js 20 or newer."]
    if shutil.which("npm") is None:
        return ["There is no `npm` on PATH. Install it; Node.js 20 or newer includes it."]
    return []


def _venv_works() -> bool:
    """Whether .venv has a Python that may be used and pip; false after an interrupted start."""
    code = (
        f"import sys, pip; sys.exit(not {OLDEST_PYTHON} <= sys.version_info[:2] <= {NEWEST_PYTHON})"
    )
    try:
        return subprocess.call([str(VENV_PYTHON), "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _fingerprint(names: "Iterable[str]") -> str:
    """Return a hash of the named files of the project."""
    digest = hashlib.sha256()
    for name in names:
        digest.update((ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def _is_stamped(stamp: Path, fingerprint: str) -> bool:
    return stamp.is_file() and stamp.read_text("ascii") == fingerprint


def install_python(requirements: str) -> None:
    """Make .venv and install a requirements file into it, unless that was done already."""
    if not _venv_works():
        # --clear: what is there does not work, an interrupted start most likely.
        _step(
            f"Making .venv with Python {sys.version.split()[0]}",
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
        )
    stamps = {name: VENV / f"installed-{name.replace('/', '-')}" for name in PARTS}
    if _is_stamped(stamps[requirements], _fingerprint(PARTS[requirements])):
        return
    # An interrupted pip leaves no stamp behind, so that the next run repairs it.
    for stamp in stamps.values():
        if stamp.is_file():
            stamp.unlink()
    _step(
        f"Installing the Python packages of {requirements} into .venv (about half a minute)",
        [
            *(str(VENV_PYTHON), "-m", "pip", "install", "-r", requirements),
            *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
        ],
    )
    for name, stamp in stamps.items():
        if set(PARTS[name]) <= set(PARTS[requirements]):
            stamp.write_text(_fingerprint(PARTS[name]), "ascii")


def install_node(folder: str) -> None:
    """Install the npm packages of a folder, unless that was done already."""
    stamp = ROOT / folder / "node_modules" / "installed-package-lock.json"
    fingerprint = _fingerprint([f"{folder}/package.json", f"{folder}/package-lock.json"])
    if _is_stamped(stamp, fingerprint):
        return
    # One of the packages reports that it is installed, unless this says no.
    os.environ.setdefault("SCARF_ANALYTICS", "false")
    # npm ci removes node_modules, and the stamp with it, before it starts.
    _step(
        f"Installing {NPM_PACKAGES[folder]} from npm into {folder}/node_modules",
        ["npm", "ci", "--prefix", folder, "--no-audit", "--no-fund"],
    )
    stamp.write_text(fingerprint, "ascii")


def install_browser() -> None:
    """Install Chromium if apt-get can be run as root; otherwise print how to install it.

    Without it the tests of the pages fail with the same advice.
    """
    named = os.environ.get("CHROMIUM")
    on_mac = Path("/Applications/Google Chrome.app").exists() and not named
    if on_mac or any(shutil.which(name) for name in ((named,) if named else BROWSERS)):
        return
    if named or shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            "The tests of the pages need Chromium, which is not installed. Install it (on Debian "
            "as root: apt-get install chromium), or set CHROMIUM to the path of the program.",
            file=sys.stderr,
        )
        return
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    _step("Reading the lists of Debian's packages", [*apt, "update"])
    _step(
        "Installing Chromium for the tests of the pages (about a minute)",
        [*apt, "install", "--no-install-recommends", "chromium"],
    )


def _step(what: str, command: "list[str]") -> None:
    """Run one command with its output in a log file; print the time every few seconds."""
    print(what, flush=True)
    began = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / "install.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=str(ROOT), stdout=output, stderr=subprocess.STDOUT)
    while process.returncode is None:
        try:
            process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"  ... {time.monotonic() - began:.0f} s", flush=True)
        except KeyboardInterrupt:
            process.wait()  # the terminal signalled it as well
            raise
    if process.returncode != 0:
        lines = log.read_text("utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        end = "\n".join(f"  | {line}" for line in lines)
        raise InstallError(
            f"That failed. The end of {os.path.relpath(log, ROOT)}:\n{end}\n"
            "Correct the cause, then run the same command again."
        )
    print(f"  done in {time.monotonic() - began:.0f} s", flush=True)


def main(arguments: "list[str]") -> int:
    """Install for the named kind of target; 1 with the reason on stderr."""
    if len(arguments) != 1 or arguments[0] not in KINDS:
        print(f"usage: python3 local/install.py {'|'.join(KINDS)}", file=sys.stderr)
        return 2
    requirements, npm_folders = KINDS[arguments[0]]
    faults = missing_prerequisites(needs_node=bool(npm_folders))
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    try:
        install_python(requirements)
        for folder in npm_folders:
            install_node(folder)
        if arguments[0] == "test":
            install_browser()
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to finish.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
