"""Paths and methods: where each leads, and what is refused."""

from __future__ import annotations

import pytest

import function_app
from functions.http.operations import ROUTES
from tests.support.api import UNKNOWN, Api, assert_envelope

CONTEXT = "https://graph.microsoft.com/beta/$metadata"
SETS = "/external/industryData/outboundProvisioningFlowSets"


async def test_the_service_document_and_the_root(service: Api) -> None:
    for url in (service.root, f"{service.root}/"):
        assert (await service.get(url)).json() == {
            "@odata.context": CONTEXT,
            "value": [{"name": "external", "kind": "Singleton", "url": "external"}],
        }
    assert (await service.get(service.industry_data)).json() == {
        "@odata.context": f"{CONTEXT}#external/industryData/$entity",
        "id": "industryData",
    }


assert function_app.app  # the handlers are imported, and so in ROUTES
KEYS = {
    "{set_id}": UNKNOWN,
    "{flow_id}": UNKNOWN,
    "{group_id}": "staff",
    "{definition_id}": "RefRole-chair",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def offered(path: tuple[str, ...]) -> set[str]:
    """The methods of all operations that a path may mean: $count has the form of a key."""

    def fits(template: tuple[str, ...]) -> bool:
        return len(template) == len(path) and all(
            own == given or own.startswith("{") for own, given in zip(template, path, strict=True)
        )

    return {each.method for each in ROUTES if fits(each.segments)}


def allowed(path: tuple[str, ...]) -> set[str]:
    """The methods of exactly this path."""
    methods = {each.method for each in ROUTES if each.segments == path}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


PATHS = sorted({each.segments for each in ROUTES})


@pytest.mark.parametrize("path", PATHS, ids="/".join)
async def test_a_method_that_is_not_offered_is_405_and_says_which_are(
    service: Api, path: tuple[str, ...]
) -> None:
    url = "/".join([service.root.removesuffix("/beta"), *(KEYS.get(each, each) for each in path)])
    others = [method for method in METHODS if method not in offered(path)]
    assert others
    for method in others:
        answer = await service.send(method, url, b"{}")
        error = assert_envelope(answer, 405, "Request_MethodNotAllowed")
        assert method in error["message"]
        assert set(answer.headers["Allow"].split(", ")) == allowed(path)


@pytest.mark.parametrize("path", PATHS, ids="/".join)
async def test_head_and_options_are_answered_wherever_a_path_leads(
    service: Api, path: tuple[str, ...]
) -> None:
    url = "/".join([service.root.removesuffix("/beta"), *(KEYS.get(each, each) for each in path)])
    options = await service.send("OPTIONS", url)
    assert (options.status, options.text) == (204, "")
    assert set(options.headers["Allow"].split(", ")) == allowed(path)
    if "GET" in allowed(path):
        whole, head = await service.get(url), await service.send("HEAD", url)
        assert (head.status, head.text) == (whole.status, "")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("/beta/nothing", "nothing"),
        ("/beta/external/industryData/runs", "runs"),
        (f"/beta{SETS}/{UNKNOWN}/surprise", "surprise"),
        (f"/beta{SETS}/{UNKNOWN}/provisioningFlows/{UNKNOWN}/surprise", "surprise"),
        (f"/beta{SETS}/{UNKNOWN}/provisioningFlows/{UNKNOWN}/reset/more", "more"),
        ("/v1.0/external/industryData", "v1.0"),
    ],
)
async def test_an_unknown_path_is_400_as_at_graphs_gateway(
    service: Api, path: str, segment: str
) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await service.send(method, service.root.removesuffix("/beta") + path)
        assert f"'{segment}'" in assert_envelope(answer, 400, "BadRequest")["message"]
