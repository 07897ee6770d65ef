"""Route templates are matched as the Functions host matches them."""

from __future__ import annotations

import pytest

from local.host.routes import Route, RouteError, Router


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("flows", "flows", {}),
        ("flows", "FLOWS/", {}),
        ("$metadata", "$Metadata", {}),
        ("a/{id}", "a/b%2Fc", {"id": "b%2Fc"}),
        ("a/{id}", "A/x y", {"id": "x y"}),
        ("a/{id}/b/{Part}", "a/1/B/2", {"id": "1", "Part": "2"}),
        ("{*rest}", "", {}),
        ("{**rest}", "a/b/c", {"rest": "a/b/c"}),
        ("a/{*rest}", "a", {}),
        ("a/{*rest}", "a/b/c", {"rest": "b/c"}),
        ("a.b/{*rest}", "a.b/c", {"rest": "c"}),
        ("/a", "a", {}),
        ("/", "", {}),
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
        ("a/{*rest}", "ab"),
        ("a.b/{*rest}", "axb/c"),
    ],
)
def test_path_does_not_fit(template: str, path: str) -> None:
    assert Route("f", template).match(path) is None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a//b", "two slashes in a row"),
        ("{*a}/b", "must come last"),
        ("{a}/{A}", "appears twice"),
        *(
            (template, "is neither a literal, {name} nor {*rest}")
            for template in (
                *("{a}{b}", "a/{x", "a/x}", "x{*a}", "{a?}.x", "{a:int}", "{a=1}", "{a?}"),
                *("sets('{id}')", "a?b", "~a", "{}", "{{a}}"),
            )
        ),
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


def test_method_of_no_function_finds_nothing() -> None:
    assert found(Router([Route("a", "x", frozenset({"GET"}))]), "HEAD", "/x") is None


def test_literal_behind_a_parameter_is_reported() -> None:
    router = Router([Route("a", "items/{id}"), Route("b", "items/recent"), Route("c", "other")])
    assert router.shadowed() == {"b": "a"}


def test_literal_that_can_be_reached_is_not_reported() -> None:
    first = Route("a", "items/{id}", frozenset({"PUT"}))
    assert Router([first, Route("b", "items/recent", frozenset({"GET"}))]).shadowed() == {}
