"""Reading a request body: what is JSON here, and what is said about everything else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.json_body import (
    MAX_BODY_BYTES,
    MAX_VALUES,
    RepeatedMembers,
    parse,
    read_json,
    repeated_names,
    write_json,
)
from shared.domain.errors import BodyTooLarge, UnreadableBody

JSON = "application/json"


def refusal(body: bytes, content_type: str | None = JSON) -> str:
    """The one sentence that a body is refused with."""
    with pytest.raises(UnreadableBody) as refused:
        read_json(body, content_type)
    [fault] = refused.value.faults
    assert (fault.code, fault.target) == ("BadRequest", None)
    return fault.message


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", ["%s", '{"a": %s}', "[1, [%s]]"])
def test_what_python_reads_and_json_does_not_have_is_refused_by_name(form: str, name: str) -> None:
    assert f"{name} is not a JSON value" in refusal((form % name).encode())


@pytest.mark.parametrize("digits", [4_301, 100_000, MAX_BODY_BYTES])
def test_an_integer_that_takes_python_too_long_is_refused(digits: int) -> None:
    assert "too many digits" in refusal(b"9" * digits)


def test_an_integer_longer_than_64_bits_is_read_exactly() -> None:
    assert read_json(b"123456789012345678901234567890", JSON) == 123456789012345678901234567890


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("depth", [10_000, 100_000])
def test_a_body_ten_thousand_levels_deep_is_refused(opening: bytes, depth: int) -> None:
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]
    assert refusal(opening * depth + b"1" + closing * depth)


def test_a_deep_body_that_never_closes_is_refused() -> None:
    assert refusal(b"[" * 500_000)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b'{"a": "\xff"}', 7),
        (b'{"a": "\xc3\x28"}', 7),
        (b'{"a": "\xed\xa0\x80"}', 7),
        (b'{"a": "\xf8\x88\x80\x80\x80"}', 7),
        (b'{"a": "\xc0\xaf"}', 7),
        (b'{"a": "\xe2\x82', 7),
        (json.dumps({"a": 1}).encode("utf-16"), 0),
    ],
)
def test_what_is_not_utf_8_is_refused_with_the_place(body: bytes, at: int) -> None:
    assert f"not valid UTF-8: see byte {at}" in refusal(body)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_unicode_encodings_are_refused(codec: str) -> None:
    assert refusal(json.dumps({"a": 1}).encode(codec))


def test_one_byte_order_mark_is_accepted() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}', JSON) == {"a": 1}


def test_a_second_byte_order_mark_is_refused() -> None:
    assert refusal(b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}')


@pytest.mark.parametrize(
    "text",
    [
        r'"\ud800"',
        r'"\uDBFF"',
        r'"\udc00"',
        r'"\udc00\ud800"',
        r'{"\ud83d": 1}',
        r'[[{"a": ["x\ud83dx"]}]]',
    ],
)
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    assert "half of a surrogate pair" in refusal(text.encode())


@pytest.mark.parametrize(
    ("text", "value"), [(r'"\ud83d\ude00"', "😀"), (r'"\\ud800"', r"\ud800"), ('"😀"', "😀")]
)
def test_whole_characters_outside_the_first_plane_are_read(text: str, value: str) -> None:
    assert read_json(text.encode(), JSON) == value


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t  \n"])
def test_an_empty_body_is_called_empty(body: bytes) -> None:
    assert refusal(body) == "Empty Payload. JSON content expected."


@pytest.mark.parametrize("value", [[], [1], {}, "text", 7, 1.5, True, None])
def test_any_json_value_is_read_as_it_is(value: Any) -> None:
    assert read_json(json.dumps(value).encode(), JSON) == value


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"[1,]",
        b"nul",
        b'{"a": 1} {"b": 2}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": "\x01"}',
        b"// comment\n{}",
        b"a=1&b=2",
        b"<a/>",
        b"\x00",
        b"\xef\xbb\xbf",
    ],
)
def test_what_is_not_json_is_refused_with_line_and_column(body: bytes) -> None:
    message = refusal(body)
    assert message.startswith("Unable to read JSON request payload.")
    assert "line " in message
    assert "column " in message


def test_the_longest_body_is_read() -> None:
    body = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'
    assert len(read_json(body, JSON)) == MAX_BODY_BYTES - 2


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000])
def test_a_longer_body_is_refused_with_both_sizes(size: int) -> None:
    with pytest.raises(BodyTooLarge, match=f"{size} bytes long; send at most {MAX_BODY_BYTES}"):
        read_json(b"[" * size, JSON)


@pytest.mark.parametrize("content_type", [None, "", "  "])
def test_a_missing_content_type_has_another_code_than_a_wrong_one(content_type: str | None) -> None:
    assert "must contain the Content-Type header" in refusal(b"{}", content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "application/xml",
        "application/jsonx",
        "application/json+x",
        "application/x-www-form-urlencoded",
        "application/json, application/json",
        "; charset=utf-8",
        "json",
    ],
)
def test_only_the_json_media_type_is_read(content_type: str) -> None:
    assert refusal(b"{}", content_type) == (
        "Entity only allows writes with a JSON Content-Type header."
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "  application/json  ",
        "application/json;",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=us-ascii",
        "application/json;charset=utf8",
        "application/json;odata.metadata=minimal;IEEE754Compatible=false;charset=utf-8",
    ],
)
def test_json_in_utf_8_is_read_however_it_is_declared(content_type: str) -> None:
    assert read_json(b"{}", content_type) == {}


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", "utf-7", ""])
def test_another_charset_is_refused(charset: str) -> None:
    assert "Send JSON in UTF-8" in refusal(b"{}", f"application/json; charset={charset}")


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a": 1, "a": 1}', ("a",)),
        ('{"a": 1, "b": {}, "a": 1}', ("a",)),
        ('{"a": 1, "A": 1, "a": 2}', ("A", "a")),
        ('{"a": 1, "b": 2, "B": 3, "a": 4}', ("B", "a")),
    ],
)
def test_repeated_members_are_marked_not_lost(text: str, repeated: tuple[str, ...]) -> None:
    value = read_json(text.encode(), JSON)
    assert isinstance(value, RepeatedMembers)
    assert value.repeated == repeated


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"a": 1, "A": 1}', '{"\\u00e9": 1, "É": 1}'])
def test_names_are_repeated_whatever_their_case(text: str) -> None:
    assert len(repeated_names(read_json(text.encode(), JSON))) == 1


def test_a_repetition_is_marked_at_its_own_level() -> None:
    value = read_json(b'{"a": {"b": 1, "b": 2}, "c": [{"d": 1}]}', JSON)
    assert not isinstance(value, RepeatedMembers)
    assert isinstance(value["a"], RepeatedMembers)
    assert not isinstance(value["c"][0], RepeatedMembers)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_every_json_value_comes_back_unchanged(value: Any, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode()
    assert json.dumps(read_json(body, JSON)) == json.dumps(value)


json_texts = st.recursive(
    st.sampled_from(
        ["0", "-0", "1.0", "1e5", "1E5", "1e400", "9" * 19, "9" * 20, "-" + "9" * 20, "0.10"]
    )
    | st.sampled_from(
        ["true", "null", '"a b"', '"\\u0041"', '"\\ud83d\\ude00"', '"\\n"', '"é"', '""']
    ),
    lambda inner: (
        st.lists(inner).map(lambda each: f"[{' , '.join(each)}]")
        | st.lists(st.tuples(st.sampled_from(["a", "A", "a b", "ab", "\\u0061"]), inner)).map(
            lambda pairs: "{" + ",\n".join(f'"{name}": {text}' for name, text in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@given(json_texts)
def test_a_text_is_read_as_python_reads_it_with_nothing_lost(text: str) -> None:
    pairs_seen: list[list[tuple[str, Any]]] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs_seen.append(pairs)
        return dict(pairs)

    expected = json.loads(text, object_pairs_hook=keep)
    value = read_json(text.encode(), JSON)
    assert repr(value) == repr(expected)
    assert repeated_in(value) == any(len(dict(pairs)) < len(pairs) for pairs in pairs_seen)


def repeated_in(value: Any) -> bool:
    """Whether an object in a value is marked as one that names a member twice."""
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, RepeatedMembers) or (
        isinstance(value, (dict, list)) and any(map(repeated_in, inner))
    )


@given(json_values)
def test_what_is_written_reads_as_the_same_value(value: Any) -> None:
    with contextlib.suppress(TypeError):  # numbers beyond 64 bits, halves of surrogate pairs
        assert json.loads(write_json({"a": value})) == {"a": value}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_nothing_else_escapes(body: bytes) -> None:
    with contextlib.suppress(UnreadableBody):
        read_json(body, JSON)


@pytest.mark.parametrize("opening", ["[]", "{}", '{"a":[]}'])
def test_a_body_has_a_bounded_number_of_objects_and_arrays(opening: str) -> None:
    each = opening.count("[") + opening.count("{")
    fitting = [opening] * ((MAX_VALUES - 1) // each)

    assert len(parse(f"[{','.join(fitting)}]".encode())) == len(fitting)
    with pytest.raises(UnreadableBody, match=f"more than {MAX_VALUES} objects and arrays"):
        parse(f"[{','.join([*fitting, opening, opening])}]".encode())


def test_brackets_in_texts_are_no_objects_and_arrays() -> None:
    text = '[{\\"' * MAX_VALUES
    assert parse(f'["{text}", "{text}"]'.encode()) == ['[{"' * MAX_VALUES] * 2
