"""Route templates are matched as the Functions host matches them."""

from __future__ import annotations

import pytest

from local.host.routes import Route, RouteError, Router

GUID = "0AF76519-16cd-43dd-8448-eb211c80319c"


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("flows", "flows", {}),
        ("flows", "FLOWS/", {}),
        ("$metadata", "$Metadata", {}),
        ("a/{id}", "a/b%2Fc", {"id": "b%2Fc"}),
        ("a/{id}", "A/x y", {"id": "x y"}),
        ("a/{id}/b/{Part}", "a/1/B/2", {"id": "1", "Part": "2"}),
        ("a/{id:guid}", f"a/{GUID}", {"id": GUID}),
        ("a/{id?}", "a", {}),
        ("a/{id?}", "a/1", {"id": "1"}),
        ("a/{x?}/{y?}", "a/1", {"x": "1"}),
        ("a/{id=none}", "a", {"id": "none"}),
        ("a/{id:int=7}", "a", {"id": "7"}),
        ("{*rest}", "", {}),
        ("{**rest}", "a/b/c", {"rest": "a/b/c"}),
        ("a/{*rest}", "a", {}),
        ("a/{*rest}", "a/b/c", {"rest": "b/c"}),
        ("{a}-{b}", "x-y-z", {"a": "x-y", "b": "z"}),
        ("f/{name}.{ext?}", "f/a.b.c", {"name": "a.b", "ext": "c"}),
        ("f/{name}.{ext?}", "f/a", {"name": "a"}),
        ("sets('{id}')", "sets('1')", {"id": "1"}),
        ("{{x}}", "{x}", {}),
        ("/a", "a", {}),
        ("/", "", {}),
        (r"a/{n:regex(^\d{{2}}$)}", "a/12", {"n": "12"}),
        ("a/{n:length(2,3)}", "a/xyz", {"n": "xyz"}),
    ],
)
def test_path_fits(template: str, path: str, values: dict[str, str]) -> None:
    assert Route("f", template).match(path) == values


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("flows", "flow"),
        ("flows", "flows//"),
        ("a/{id}", "a"),
        ("a/{id}", "a/1/2"),
        ("a/{id:guid}", "a/1"),
        ("a/{id:int}", "a/1.5"),
        ("a/{id:int}", "a/2147483648"),
        ("a/{id:int?}", "a/x"),
        ("a/{id:bool}", "a/yes"),
        ("a/{id:alpha}", "a/a1"),
        ("a/{id:min(5)}", "a/4"),
        ("a/{id:max(5)}", "a/6"),
        ("a/{id:range(1,5)}", "a/6"),
        ("a/{id:minlength(2)}", "a/x"),
        ("a/{id:maxlength(2)}", "a/xyz"),
        ("a/{id:length(2)}", "a/x"),
        ("a/{id:double}", "a/x"),
        (r"a/{n:regex(^\d{{2}}$)}", "a/123"),
        ("sets('{id}')", "sets(1)"),
    ],
)
def test_path_does_not_fit(template: str, path: str) -> None:
    assert Route("f", template).match(path) is None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a//b", "two slashes in a row"),
        ("{a}{b}", "nothing between them"),
        ("a/{x", "without its }"),
        ("a/x}", "without its {"),
        ("{*a}/b", "must come last"),
        ("x{*a}", "mixes"),
        ("{a?}.x", "mixes"),
        ("{a:nonsense}", "is not known"),
        ("{a:min}", "wrong number of arguments"),
        ("{a:min(x)}", "bad argument"),
        ("{a:regex([)}", "bad argument"),
        ("{a}/{A}", "appears twice"),
        ("a?b", "has a '?'"),
        ("{a=1?}", "is optional and has a default"),
        ("{*a?}", "cannot be optional"),
        ("~a", "begin with '~'"),
        ("{}", "is not a route parameter"),
    ],
)
def test_bad_template_is_refused(template: str, reason: str) -> None:
    with pytest.raises(RouteError) as caught:
        _ = Route("f", template).segments
    assert reason in str(caught.value)


def found(router: Router, method: str, path: str) -> str | None:
    match = router.find(method, path)
    return match[0].function_name if match else None


def test_routes_are_tried_in_the_order_of_function_names() -> None:
    router = Router([Route("b", "items/recent"), Route("A", "items/{id}")])
    assert found(router, "GET", "/items/recent") == "A"


def test_underscore_comes_after_the_letters() -> None:
    router = Router([Route("a_x", "items/{id}"), Route("ab", "items/recent")])
    assert found(router, "GET", "/items/recent") == "ab"
    assert router.shadowed() == {}


@pytest.mark.parametrize("path", ["//", "//x", "///"])
def test_empty_first_segment_fits_nothing(path: str) -> None:
    assert found(Router([Route("everything", "{*path}")]), "GET", path) is None


def test_function_of_another_method_is_passed_over() -> None:
    router = Router(
        [Route("a", "x/{id}", frozenset({"PUT"})), Route("b", "x/{key}", frozenset({"GET"}))]
    )
    assert found(router, "GET", "/x/1") == "b"


def test_constraint_lets_a_later_route_match() -> None:
    router = Router([Route("a", "items/{id:int}"), Route("b", "items/recent")])
    assert found(router, "GET", "/items/recent") == "b"


def test_method_of_no_function_finds_nothing() -> None:
    assert found(Router([Route("a", "x", frozenset({"GET"}))]), "HEAD", "/x") is None


def test_literal_behind_a_parameter_is_reported() -> None:
    router = Router([Route("a", "items/{id}"), Route("b", "items/recent"), Route("c", "other")])
    assert router.shadowed() == {"b": "a"}


@pytest.mark.parametrize(
    "first",
    [Route("a", "items/{id:int}"), Route("a", "items/{id}", frozenset({"PUT"}))],
)
def test_literal_that_can_be_reached_is_not_reported(first: Route) -> None:
    assert Router([first, Route("b", "items/recent", frozenset({"GET"}))]).shadowed() == {}
