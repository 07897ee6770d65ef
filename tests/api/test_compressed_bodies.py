"""Request bodies with a Content-Encoding: gzip is read within the limits, all else refused."""

from __future__ import annotations

import gzip
import json

import pytest

from shared.contract.json_body import MAX_BODY_BYTES
from tests.support.api import Api, assert_envelope

PACKED = gzip.compress(json.dumps({"displayName": "Packed"}).encode())


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_a_gzip_body_is_read(service: Api, encoding: str) -> None:
    answer = await service.send("POST", service.sets, PACKED, Content_Encoding=encoding)

    assert (answer.status, answer.json()["displayName"]) == (201, "Packed")


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip"])
async def test_another_encoding_is_a_415_that_names_gzip(service: Api, encoding: str) -> None:
    answer = await service.send("POST", service.sets, PACKED, Content_Encoding=encoding)

    assert_envelope(answer, 415, "UnsupportedMediaType")
    assert answer.headers["Accept-Encoding"] == "gzip"


async def test_a_gzip_bomb_is_a_413_and_unpacked_no_further_than_the_limit(service: Api) -> None:
    bomb = gzip.compress(b" " * (64 * MAX_BODY_BYTES))
    assert len(bomb) < MAX_BODY_BYTES

    answer = await service.send("POST", service.sets, bomb, Content_Encoding="gzip")

    error = assert_envelope(answer, 413, "RequestEntityTooLarge")
    # One byte more than is allowed was unpacked, not all 64 MiB.
    assert f"{MAX_BODY_BYTES + 1} bytes" in error["message"]


@pytest.mark.parametrize(
    "body",
    [PACKED[:-1], PACKED[:-9], PACKED + b"x", PACKED + PACKED, b"{}"],
    ids=["trailer cut", "data cut", "trailing byte", "second member", "not gzip"],
)
async def test_a_malformed_gzip_body_is_a_400(service: Api, body: bytes) -> None:
    answer = await service.send("POST", service.sets, body, Content_Encoding="gzip")

    error = assert_envelope(answer, 400, "BadRequest")
    assert "gzip" in error["message"]
