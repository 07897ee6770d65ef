"""Requests that schemathesis makes from the description: none may be answered with a 5xx.

Some fit their schemas and some do not; they are the same in every run. Half of them are about a
flow set and a flow that exist.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import function_app  # noqa: F401 - its import registers the operations
from functions.http.operations import operations
from functions.http.pages import description
from local.stack import Stack
from shared.description.names import path_template
from tests.support.bodies import request_body

EACH = 2
"""Examples of either kind for an operation."""
SECONDS = 15
KEYS = ("outboundProvisioningFlowSet-id", "provisioningFlow-id")
"""The path parameters that half of the requests fill with what exists."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def without_security() -> dict[str, Any]:
    """The description as if the API were open: else tokens are made up or omitted as well."""
    described: dict[str, Any] = json.loads(description()[0])
    for item in described["paths"].values():
        for content in item.values():
            if isinstance(content, dict):
                content.pop("security", None)
    return described


DESCRIBED = [
    found.ok()  # type: ignore[union-attr]  # raises, should the description be unusable
    for found in schemathesis.openapi.from_dict(without_security()).get_all_operations()
]
TRIED = [
    (described, mode)
    for described in DESCRIBED
    for mode in GenerationMode
    # Where any text will do, none can be a wrong one.
    if mode.is_positive
    or described.body
    or any(
        each.location.value != "header" and each.definition["schema"] != {"type": "string"}
        for each in described.iter_parameters()
    )
]


@pytest.fixture(scope="module")
def client(token: str) -> Iterator[requests.Session]:
    """A client that may do everything."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


@pytest.fixture
def existing(client: requests.Session, api: str) -> dict[str, str]:
    """Keys of paths that lead to something."""
    sets = f"{api}/external/industryData/outboundProvisioningFlowSets"
    made = client.post(sets, json={"displayName": "Generated"}, timeout=SECONDS).json()["id"]
    flow = client.post(
        f"{sets}/{made}/provisioningFlows",
        data=request_body("user"),
        headers={"Content-Type": "application/json"},
        timeout=SECONDS,
    )
    return dict(zip(KEYS, (made, flow.json()["id"]), strict=True))


def test_every_operation_of_the_description_is_tried() -> None:
    labels = {described.label for described in DESCRIBED}
    assert labels == {f"{route.method} {path_template(route.path)}" for route in operations()}
    assert set(KEYS) <= {each.name for found in DESCRIBED for each in found.path_parameters}
    assert len(DESCRIBED) <= len(TRIED) <= 200 // EACH


@pytest.mark.parametrize(
    ("described", "mode"), TRIED, ids=[f"{each.label} {mode.value}" for each, mode in TRIED]
)
def test_no_request_made_from_the_description_is_a_server_error(
    client: requests.Session,
    stack: Stack,
    existing: dict[str, str],
    described: schemathesis.APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
) -> None:
    turns = itertools.cycle((True, False))

    @settings(
        max_examples=EACH,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case[Any]) -> None:
        if next(turns):
            known = existing.keys() & case.path_parameters.keys()
            case.path_parameters.update({name: existing[name] for name in known})
        response = case.call(
            base_url=stack.config.api.removesuffix("/beta"), session=client, timeout=SECONDS
        )
        if response.status_code == 400 and not response.content:
            # The host's own answer to a header that is no UTF-8: it calls no function.
            assert not "".join(map(str, case.headers.values())).isascii()
            return
        assert response.status_code not in (401, 403), response.text
        case.validate_response(response, checks=CHECKS)

    run()
