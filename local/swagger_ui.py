"""Refreshes the copy of Swagger UI that the service ships: python -m local.swagger_ui VERSION.

npm downloads the package and checks it; the files that /docs needs replace the copy,
swagger_ui.json gets their hashes, and docs.html names the new folder. Without a VERSION the copy is
compared with the package of its own version, and nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from local.config import ROOT

PACKAGE = "swagger-ui-dist"
STATIC = ROOT / "functions" / "http" / "static"
# The library, its styles, and the licences under which both may be passed on.
FILES = (
    "LICENSE",
    "NOTICE",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)
HASHES = Path(__file__).with_suffix(".json")


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def shipped() -> tuple[str, dict[str, str]]:
    """Return the version of the copy, and the hash that each of its files must have."""
    kept = json.loads(HASHES.read_text("utf-8"))
    return kept["version"], kept["sha256"]


def folder(version: str) -> Path:
    """Return where the files of a version are; the name is part of their URLs."""
    return STATIC / f"swagger-ui-{version}"


def download(version: str) -> dict[str, bytes]:
    """Return the files of a version from npm's package."""
    with tempfile.TemporaryDirectory() as scratch:
        packed = subprocess.run(
            ["npm", "pack", "--silent", f"{PACKAGE}@{version}"],
            cwd=scratch,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout.strip()
        with tarfile.open(Path(scratch) / packed) as archive:
            return {name: _read(archive, f"package/{name}") for name in FILES}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise FileNotFoundError(name)
    return member.read()


def replace(version: str, files: dict[str, bytes]) -> None:
    """Write a version in place of the one that is there."""
    former, _ = shipped()
    shutil.rmtree(folder(former))
    folder(version).mkdir()
    for name, content in files.items():
        (folder(version) / name).write_bytes(content)
    kept = {"version": version, "sha256": {name: digest(files[name]) for name in FILES}}
    HASHES.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    page = STATIC / "docs.html"
    text = page.read_text("utf-8").replace(f"/{folder(former).name}/", f"/{folder(version).name}/")
    page.write_text(text, "utf-8")


def main() -> int:
    """Write a new version, or compare the one that is there; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.swagger_ui", description=__doc__)
    parser.add_argument("version", nargs="?", help="such as 5.35.0; without it nothing is written")
    wanted: str | None = parser.parse_args().version
    if wanted is not None and not re.fullmatch(r"[0-9]+(\.[0-9]+){2}", wanted):
        parser.error("give a version of three numbers")
    version, hashes = shipped()
    files = download(wanted or version)
    if wanted is not None:
        replace(wanted, files)
        return 0
    changed = [name for name, content in files.items() if digest(content) != hashes.get(name)]
    print(f"{PACKAGE} {version}:", f"differs in {', '.join(changed)}" if changed else "the same")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
