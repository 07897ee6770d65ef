"""The composition root: as whom the app signs in to Azure."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from local.config import ROOT
from tests.unit.test_settings import AZURE


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:41000/msi/token", "ManagedIdentityCredential"),
        ("", "DefaultAzureCredential"),
    ],
)
async def test_an_app_uses_its_identity_and_a_developer_the_signed_in_one(
    endpoint: str, expected: str
) -> None:
    code = (
        "import asyncio\n"
        "from shared import bootstrap\n"
        "async def main():\n"
        "    print(type(bootstrap.credential()).__name__)\n"
        "    await bootstrap.close()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", code),
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            **AZURE,
            "IDENTITY_ENDPOINT": endpoint,
            "IDENTITY_HEADER": "x",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (out.decode().strip(), err.decode()) == (expected, "")
