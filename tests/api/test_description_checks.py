"""Every check that schemathesis has, over every operation of the description.

Its coverage phase takes each parameter and member to its bounds and beyond, leaves each out, gives
it twice, and tries each method that a path does not have; the same requests in every run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import function_app  # noqa: F401 - its import registers the operations
from functions.http.operations import operations
from functions.http.pages import description
from local.stack import Stack
from shared.description.names import path_template
from tests.support.api import Api, assert_envelope

SECONDS = 400
# A schema cannot say all that makes a request fit: 400 for a text that is no condition or refers to
# nothing, 406 and 412 for headers that fit nothing that is there. Of a request with two faults
# either may be named, hence 412 for one that does not fit.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "400", "404", "406", "409", "412"]
negative_data_rejection.expected-statuses = ["400", "404", "405", "406", "409", "412", "415"]
"""


def test_schemathesis_finds_nothing_with_all_its_checks(
    stack: Stack, token: str, tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    # By file: the operation that an address of it names would be left out.
    (tmp_path / "openapi.json").write_bytes(description()[0])
    command = (
        *("schemathesis.cli", "run", "openapi.json", "--checks", "all"),
        *("--url", stack.config.api.removesuffix("/beta")),
        *("--phases", "coverage", "--workers", "1"),
        *("--generation-deterministic", "--continue-on-failure", "--no-color"),
        *("--report", "junit", "--report-junit-path", "report.xml"),
        *("--header", f"Authorization: Bearer {token}"),
    )

    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = ET.parse(tmp_path / "report.xml")  # noqa: S314 - made by the process above
    tested = {each.get("name") for each in report.iter("testcase")}
    assert tested == {f"{each.method} {path_template(each.path)}" for each in operations()}
    [cases] = re.findall(r"(\d+) generated", done.stdout)
    assert int(cases) >= 2000


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST", "PUT", "TRACE"])
async def test_a_count_is_no_key_whatever_the_method(service: Api, method: str) -> None:
    answer = await service.send(method, f"{service.sets}/$count?$format=0", b"{}")

    assert_envelope(answer, 405, "Request_MethodNotAllowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["", "/$metadata", "/$batch", "/external/industryData"])
async def test_a_method_that_functions_have_no_name_for_is_a_405(service: Api, path: str) -> None:
    answer = await service.send("TRACE", f"{service.root}{path}")

    assert_envelope(answer, 405, "Request_MethodNotAllowed")
    assert "TRACE" not in answer.headers["Allow"]


@pytest.mark.parametrize("value", ["{}", "0", "false", '""', "[{}]"])
async def test_flows_of_a_new_set_are_an_empty_collection_or_null(service: Api, value: str) -> None:
    body = f'{{"displayName": "a", "provisioningFlows": {value}}}'.encode()

    error = assert_envelope(await service.send("POST", service.sets, body), 400, "BadRequest")

    assert [each["target"] for each in error["details"]] == ["$.provisioningFlows"]
