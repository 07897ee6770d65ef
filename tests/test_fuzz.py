"""Requests made up from the description of the API, by schemathesis: none is answered by a 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.core.result import Ok

from functions import docs
from local.stack import Stack
from tests.test_openapi import description

EXAMPLES_EACH = 4
"""For each of some 34 operations: about 140 requests in all."""

SCHEMA = schemathesis.openapi.from_dict(description())


@pytest.fixture(scope="module")
def origin(stack: Stack) -> str:
    """Where the app listens."""
    return stack.config.api.removesuffix("/beta")


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES_EACH,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
def test_no_request_of_the_description_is_a_5xx(case: Any, origin: str, token: str) -> None:
    own = {name: text for name, text in (case.headers or {}).items() if name != "Authorization"}
    case.headers = {**own, "Authorization": f"Bearer {token}"}
    response = case.call(base_url=origin, timeout=30)
    assert response.status_code < 500, (case.method, case.body, response.text)
    assert response.status_code not in (401, 403), response.text


def test_every_operation_is_tried() -> None:
    found = [each for each in SCHEMA.get_all_operations() if isinstance(each, Ok)]
    tried = {each.ok().label for each in found}
    assert tried == {f"{route.method} {route.path}" for route in docs.routes()}
