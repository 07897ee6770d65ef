"""Pages behind signed tokens: complete, stable under change, and closed to invention."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.odata.listing import list_page
from shared.odata.model import FLOW_SET, REFERENCE_DEFINITION, ROLE_GROUP, EntityType
from shared.odata.options import COLLECTION, MAX_LENGTH, QueryOptions
from shared.odata.paging import MAX_QUERY, PAGE_SIZE, check_room, next_link, next_token, open_page

KEY = b"k" * 32
Entity = Mapping[str, Any]


def parse(entity: EntityType = REFERENCE_DEFINITION, /, **params: str) -> QueryOptions:
    return QueryOptions.parse(params, COLLECTION, entity)


def page_of(
    entities: Iterable[Entity], size: int | None = None, scope: str = "", **params: str
) -> tuple[list[str], str | None]:
    """Read a page as a handler does; return the ids and the token of the page behind."""
    options = parse(**params)
    page = open_page(options, KEY, max_page_size=size, scope=scope)
    listing = list_page(options, page, entities)
    ids = [str(each["id"]) for each in listing.entities]
    if not listing.more or not ids:
        return ids, None
    return ids, next_token(options, page, listing.entities[-1], KEY, scope=scope)


def all_pages(entities: list[Entity], size: int, **params: str) -> list[list[str]]:
    ids, token = page_of(entities, size, **params)
    pages = [ids]
    while token is not None:
        ids, token = page_of(entities, size, **params, skiptoken=token)
        pages.append(ids)
    return pages


def token_of(options: QueryOptions, last: Entity, key: bytes = KEY) -> str:
    return next_token(options, open_page(options, key), last, key)


def definitions(count: int) -> list[Entity]:
    return [
        {
            "id": f"{number:03d}",
            "displayName": (None, "b", "a")[number % 3],
            "isDisabled": number % 2 == 0,
            "sortIndex": number // 4,
            "createdDateTime": f"2024-03-22T21:28:02.{number % 10}Z".replace(".0Z", "Z"),
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "orderby",
    [
        "id",
        "id desc",
        "displayName",
        "displayName desc",
        "createdDateTime desc",
        "isDisabled,sortIndex desc",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 22, 23])
def test_pages_hold_every_entity_once_in_order(orderby: str, size: int) -> None:
    entities = definitions(23)
    (whole,) = all_pages(entities, 100, orderby=orderby)
    pages = all_pages(entities, size, orderby=orderby)
    assert [each for page in pages for each in page] == whole
    assert all(len(page) == size for page in pages[:-1])


def test_a_page_holds_one_hundred_unless_the_client_wants_fewer() -> None:
    entities = definitions(250)
    assert [len(page) for page in all_pages(entities, 500)] == [PAGE_SIZE, PAGE_SIZE, 50]
    assert len(page_of(entities, 3)[0]) == 3


@pytest.mark.parametrize(
    ("params", "sizes"),
    [
        ({"top": "25"}, [10, 10, 10]),
        ({"top": "7"}, [7, 7, 7, 7, 2]),
        ({"top": "15", "count": "true"}, [10, 10, 10]),
        ({"top": "0"}, [0]),
        ({"top": "999"}, [10, 10, 10]),
        ({"skip": "5"}, [10, 10, 5]),
        ({"skip": "5", "top": "9"}, [9, 9, 7]),
        ({"skip": "30"}, [0]),
    ],
)
def test_top_is_the_size_of_pages_and_skip_starts_the_first(
    params: dict[str, str], sizes: list[int]
) -> None:
    pages = all_pages(definitions(30), 10, **params)
    assert [len(page) for page in pages] == sizes
    skip = int(params.get("skip", 0))
    found = [each for page in pages for each in page]
    assert found == [f"{number:03d}" for number in range(skip, skip + len(found))]


def test_pages_neither_repeat_nor_miss_while_entities_come_and_go() -> None:
    entities = definitions(10)
    first, token = page_of(entities, 4)
    assert token is not None
    changed = [each for each in entities if each["id"] not in ("003", "005")]
    changed += [{"id": "000a"}, {"id": "006a"}]
    second, token = page_of(changed, skiptoken=token)
    assert token is not None
    third, token = page_of(changed, skiptoken=token)
    assert first == ["000", "001", "002", "003"]
    assert second == ["004", "006", "006a", "007"]
    assert (third, token) == (["008", "009"], None)


OPTIONS = parse(FLOW_SET, orderby="displayName desc")
LAST = {"id": "aa050bbc-c4b3-4b2f-b1de-0a8d3ac7f1f1", "displayName": "Nörth 'wing'"}
TOKEN = token_of(OPTIONS, LAST)
ALPHABET = string.ascii_letters + string.digits + "-_=+/ .~é"


def test_a_token_opens_to_the_place_it_was_made_of() -> None:
    page = open_page(parse(FLOW_SET, orderby="displayName desc", skiptoken=TOKEN), KEY)
    assert page.after == (LAST["displayName"], LAST["id"])


def test_the_size_of_the_first_page_is_that_of_all() -> None:
    entities = [{"id": f"{number}", "displayName": "x"} for number in range(7)]
    ids, token = page_of(entities, 3)
    sizes = [len(ids)]
    while token is not None:
        ids, token = page_of(entities, skiptoken=token)
        sizes.append(len(ids))
    assert sizes == [3, 3, 1]


def refused(token: str, key: bytes = KEY, entity: EntityType = FLOW_SET, /, **params: str) -> None:
    options = parse(entity, **params, skiptoken=token)
    with pytest.raises(InvalidRequest, match="first page") as error:
        open_page(options, key)
    assert [fault.target for fault in error.value.faults] == ["$skiptoken"]


@pytest.mark.parametrize("index", range(len(TOKEN)))
def test_refuses_a_token_with_any_character_changed(index: int) -> None:
    for character in ALPHABET:
        if character != TOKEN[index]:
            changed = TOKEN[:index] + character + TOKEN[index + 1 :]
            refused(changed, orderby="displayName desc")


@given(
    st.text(max_size=200)
    | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_refuses_invented_tokens(token: str) -> None:
    try:
        options = parse(FLOW_SET, skiptoken=token)
    except InvalidRequest:
        return
    with pytest.raises(InvalidRequest):
        open_page(options, KEY)


@pytest.mark.parametrize(
    "token", [TOKEN[:-1], TOKEN[1:], TOKEN + "A", TOKEN + "=", TOKEN + "\n", TOKEN * 2, ""]
)
def test_refuses_a_token_cut_or_continued(token: str) -> None:
    refused(token, orderby="displayName desc")


def test_refuses_a_token_of_another_key() -> None:
    refused(TOKEN, b"x" * 32, orderby="displayName desc")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"orderby": "displayName"},
        {"orderby": "displayName desc", "filter": "id ne 'x'"},
        {"orderby": "displayName desc", "search": "x"},
        {"orderby": "displayName desc", "skip": "5"},
    ],
)
def test_refuses_a_token_of_other_options(params: dict[str, str]) -> None:
    refused(TOKEN, **params)


def test_refuses_a_token_of_another_collection() -> None:
    refused(TOKEN, KEY, ROLE_GROUP, orderby="displayName desc")
    options = parse(FLOW_SET, orderby="displayName desc", skiptoken=TOKEN)
    with pytest.raises(InvalidRequest):
        open_page(options, KEY, scope="another")


@pytest.mark.parametrize(
    "params",
    [{"count": "true"}, {"select": "id"}, {"expand": "provisioningFlows"}, {"top": "7"}],
)
def test_a_token_goes_with_options_that_choose_no_entities(params: dict[str, str]) -> None:
    options = parse(FLOW_SET, orderby="displayName desc", skiptoken=TOKEN, **params)
    assert open_page(options, KEY).after == (LAST["displayName"], LAST["id"])


def test_stored_and_printed_times_make_the_same_token() -> None:
    options = parse(FLOW_SET, orderby="createdDateTime")
    stored, printed = "2024-03-22T21:28:02.5000000Z", "2024-03-22T21:28:02.5Z"
    assert token_of(options, {"id": "1", "createdDateTime": stored}) == token_of(
        options, {"id": "1", "createdDateTime": printed}
    )


def test_a_token_of_the_longest_name_fits() -> None:
    longest = {"id": LAST["id"], "displayName": "\U0001f600" * 256}
    token = token_of(OPTIONS, longest)
    assert len(token) < MAX_LENGTH
    options = parse(FLOW_SET, orderby="displayName desc", skiptoken=token)
    assert open_page(options, KEY).after == (longest["displayName"], longest["id"])


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://h/sets", "http://h/sets?$skiptoken=T"),
        ("http://h/sets?", "http://h/sets?$skiptoken=T"),
        (
            "http://h/sets?Top=5&%24filter=id+ne%20'a'#x",
            "http://h/sets?Top=5&%24filter=id+ne%20'a'&$skiptoken=T",
        ),
        (
            "http://h/sets?$skiptoken=old&$top=5&%24SkipToken=older&skiptoken=oldest",
            "http://h/sets?$top=5&$skiptoken=T",
        ),
    ],
)
def test_the_next_link_keeps_the_options_as_the_client_wrote_them(url: str, link: str) -> None:
    assert next_link(url, "T") == link


# --- room for links ------------------------------------------------------------------------------

SETS_URL = "http://127.0.0.1/beta/external/industryData/outboundProvisioningFlowSets"
EXTREMES: dict[str, Any] = {
    "id": f"{'x' * 63}-{'y' * 64}",
    "displayName": "\U0001f600" * 256,
    "code": "c" * 64,
    "createdDateTime": "2024-03-22T21:28:02.1234567Z",
    "isDisabled": False,
    "sortIndex": -(2**31),
}


def url_of(length: int, option: str = "$filter") -> str:
    return f"{SETS_URL}?{option}=".ljust(len(SETS_URL) + 1 + length, "x")


def longest_that_fits(options: QueryOptions) -> int:
    for length in range(MAX_QUERY, 10, -1):
        try:
            check_room(url_of(length), options)
        except InvalidRequest:
            continue
        return length
    raise AssertionError("nothing fits")


@pytest.mark.parametrize(
    "orderby",
    ["id", "displayName", "displayName desc,code", "createdDateTime,isDisabled,sortIndex"],
)
def test_a_link_fits_whatever_the_last_entity(orderby: str) -> None:
    options = parse(orderby=orderby)
    page = open_page(options, KEY, max_page_size=PAGE_SIZE)
    token = next_token(options, page, EXTREMES, KEY)
    length = longest_that_fits(options)
    link = next_link(url_of(length), token)
    assert len(link.partition("?")[2]) <= MAX_QUERY
    # The link itself leads on: its token does not count twice.
    check_room(link, options)


def test_an_option_that_leaves_no_room_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"leaves 24[0-9]{2}") as error:
        check_room(f"{url_of(2600, 'FILTER')}&$top=5", parse(orderby="displayName"))
    assert [(each.code, each.target) for each in error.value.faults] == [("TooLong", "$FILTER")]


def test_an_order_that_leaves_no_room_is_named() -> None:
    options = parse(orderby="displayName,code,referenceType")
    with pytest.raises(InvalidRequest, match="fewer") as error:
        check_room(f"{SETS_URL}?$orderby=displayName,code,referenceType", options)
    assert [each.target for each in error.value.faults] == ["$orderby"]
