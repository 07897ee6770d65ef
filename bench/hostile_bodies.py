"""Bodies made to cost as much as they can, filters and events too: what bench/hostile.py sends."""

from __future__ import annotations

import base64
import functools
import gzip
import itertools
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from shared.contract.events import report
from shared.contract.json_body import MAX_BODY_BYTES

JSON: Final = {"content-type": "application/json"}
SETS: Final = "/external/industryData/outboundProvisioningFlowSets"
_TYPE: Final = "#microsoft.graph.industryData."
_GROUP: Final = "external/industryData/roleGroups/{:08x}-0000-4000-8000-000000000000"


def filled(text: str, size: int) -> str:
    """Repeat a text up to a size."""
    return (text * (size // len(text) + 1))[:size]


def _literals(text: str, size: int) -> str:
    return ",".join([f"'{text}'"] * (size // (len(text) + 3)))


FILTERS: Final = {
    "not": filled("not ", 1900) + "true",
    "opened parentheses": filled("(", 1900),
    "nested parentheses": "(" * 600 + "id eq 'a'" + ")" * 600,
    "deep and or": "id eq 'a' and (" * 19 + "id eq 'a'" + ")" * 19,
    "chain": " or ".join(["id ne 'a'"] * 49),
    "a long chain": " or ".join(["id ne 'a'"] * 140),
    "list": f"id in ({_literals('a', 1800)})",
    "short list": f"id in ({_literals('a', 280)})",
    "functions": "tolower(" * 18 + "id" + ")" * 18 + " eq 'a'",
    "joined texts": "concat(" * 18 + "id" + ",id)" * 18 + " eq 'a'",
    "parts of texts": "substring(" * 18 + "id" + ",1)" * 18 + " eq 'a'",
    "arithmetic": "length(id)" + " add length(id)" * 60 + " eq 1",
    "quotes": filled("'", 1999),
    "names": filled("a/", 1999),
    "marks": filled(",", 1999),
    "numbers": "id eq " + filled("9", 1900),
    "enum": filled("a.", 1900) + "'a'",
    "lambdas": "roles/any(a:" * 5 + "a/code eq 'z'" + ")" * 5,
    "lambdas of one level": " or ".join([f"roles/any(a:a/code eq '{n}')" for n in range(16)]),
    "values of one level": " or ".join([f"filter/in/any(a:contains(a,'{n}'))" for n in range(19)]),
}

# --- bodies --------------------------------------------------------------------------------------


def _array(entry: str, size: int = MAX_BODY_BYTES) -> str:
    count = (size - 2) // (len(entry) + 1)
    return "[" + ",".join([entry] * count) + "]"


def _members(size: int = MAX_BODY_BYTES, value: str = "1") -> str:
    """Make an object of as many members as fit."""
    count = (size - 2) // (len(value) + 10)
    return "{" + ",".join(f'"m{number:05}":{value}' for number in range(count)) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _padded(text: str, size: int = MAX_BODY_BYTES) -> str:
    return text + " " * (size - len(text))


def _flow(configurations: str) -> str:
    management: dict[str, Any] = {"additionalOptions": {}}
    head = _json({"@odata.type": f"{_TYPE}userProvisioningFlow", "managementOptions": management})
    return f'{head[:-1]},"creationOptions":{{"configurations":{configurations}}}}}'


def _configuration(number: int, **members: Any) -> dict[str, Any]:
    return {"roleGroup@odata.bind": _GROUP.format(number), **members}


@functools.cache
def bodies() -> dict[str, str]:
    """Return JSON texts of 1 MiB that some or all operations have to read."""
    size = MAX_BODY_BYTES
    digits = "9" * 4300
    full = {"licenseSkus": ["a" * 128] * 50}
    sealed = {
        "defaultPasswordSettings": {
            "@odata.type": f"{_TYPE}simplePasswordSettings",
            "password": "p" * 256,
        }
    }
    binds = [_configuration(number) for number in range(9000)]
    mapping = _json({"ownerEnrollmentMappings": [{"code": "teacher"}] * 40_000})
    return {
        "spaces": " " * size,
        "opened arrays": "[" * size,
        "nested arrays": "[" * (size // 2) + "]" * (size // 2),
        "nested objects": '{"a":' * (size // 6) + "1" + "}" * (size // 6),
        "empty arrays": _array("[]"),
        "empty objects": _array("{}"),
        "empty objects, not plain": _array("{}", size - 4) + " \r\n",
        "objects, not plain": '{"a":1.0,"b":' + _array('{"a":1}', size - 20) + "}",
        "repeated members": _array('{"a":1,"a":1}'),
        "repeated members of one object": "{" + '"a":1,' * (size // 6 - 1) + '"a":1}',
        "numbers": _array("1.10"),
        "exponents": _array("1e9"),
        "long numbers": _array(digits),
        "one long number": '{"a":0.' + "5" * (size - 20) + "}",
        "escapes": '{"a":"' + filled("\\u0061", size // 6 * 6 - 12) + '"}',
        "surrogates": '{"a":"' + filled("\\ud83d\\ude00", size // 12 * 12 - 12) + '"}',
        "members": _members(),
        "members with long names": "{" + ",".join(f'"{n}{"x" * 990}":1' for n in range(1000)) + "}",
        "annotations": "{" + ",".join(f'"a{n:05}@b.c":1' for n in range(size // 17)) + "}",
        "objects of members": _members(value='{"a":1}'),
        "text": _json({"displayName": "x" * (size - 100)}),
        "hidden characters": '{"displayName":"' + "\u200b" * (size // 3 - 20) + '"}',
        "cut short": _array("{}")[:-1],
        "bad at the end": _array("1")[:-2] + "x]",
        "values of a filter": _json(
            {
                "displayName": "a",
                "filter": {
                    "@odata.type": f"{_TYPE}basicFilter",
                    "attribute": "orgExternalId",
                    "in": ["a" * 250] * 4000,
                },
            }
        ),
        "as many values as are kept": _padded(
            _json(
                {
                    "displayName": "a",
                    "filter": {
                        "@odata.type": f"{_TYPE}basicFilter",
                        "attribute": "orgExternalId",
                        "in": [f"{number:0>100}" for number in range(1000)],
                    },
                }
            )
        ),
        "role groups of 27,000 configurations": _flow(
            _array(_json({"roleGroup": {"ID": "staff"}}), size - 300)
        ),
        "binds": _flow(_json(binds)),
        "as many binds as are kept": _padded(
            _flow(_json([_configuration(n, **full, **sealed) for n in range(50)]))
        ),
        "binds with unknown members": _flow("[" + ",".join([_members(20_000)] * 50) + "]"),
        "mappings": _json({"@odata.type": f"{_TYPE}classGroupProvisioningFlow"})[:-1]
        + f',"configuration":{{"enrollmentMappings":{mapping}}}}}',
        "roles": '{"displayName":"a","roles":' + _array('{"code":"x"}', size - 40) + "}",
        "as many roles as are kept": _padded(
            _json({"displayName": "a", "roles": [{"code": "teacher"}] * 100})
        ),
        "roles with unknown members": '{"displayName":"a","roles":['
        + ",".join([_members(10_000)] * 100)
        + "]}",
    }


@functools.cache
def packed() -> dict[str, bytes]:
    """Return bodies that gzip made small: they unpack to 1 MiB and to a thousand times that."""
    megabyte, bomb = b" " * 2**20, zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = b"".join(bomb.compress(megabyte) for _ in range(1000)) + bomb.flush()
    return {
        "as long as it may be": gzip.compress(bodies()["empty objects, not plain"].encode()),
        "a thousand times as long": parts[:MAX_BODY_BYTES],
        "empty blocks": gzip.compress(b"{}")[:10]
        + b"\x00\x00\x00\xff\xff" * (MAX_BODY_BYTES // 5 - 3),
    }


# --- batches -------------------------------------------------------------------------------------


def _part(number: int, url: str, method: str = "GET", **members: Any) -> dict[str, Any]:
    return {"id": str(number), "method": method, "url": url, **members}


def _batch(**members: Any) -> str:
    parts = [_part(number, **members) for number in range(20)]
    return _json({"requests": parts})


def batches(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the bodies that only a batch has to read: of 1 MiB, or with parts that cost much."""
    size, root = MAX_BODY_BYTES, "/external/industryData"
    part = _json(_part(1, "/$metadata"))[:-1]
    batch = '{{"requests":[{}]}}'.format
    flows = f"{SETS}/{keys['set_id']}/provisioningFlows"
    posts = {"method": "POST", "headers": JSON}
    found = {
        "requests": batch(",".join(["{}"] * 300_000)),
        "unknown members of a part": batch(f"{part},{_members(size - 200)[1:]}"),
        "unknown members of each part": batch(
            ",".join(f"{part},{_members(size // 20 - 200)[1:]}" for _ in range(20))
        ),
        "headers": batch(f'{part},"headers":{_members(size - 200, chr(34) * 2)}}}'),
        "long header": batch(f'{part},"headers":{{"prefer":"{"a," * 500_000}"}}}}'),
        "dependsOn": batch(
            f'{part}}},{_json(_part(2, "/"))[:-1]},"dependsOn":' + _array('"1"', size - 300) + "}"
        ),
        "long id": batch(_json({**_part(1, "/"), "id": "a" * (size - 200)})),
        "long url": batch(_json(_part(1, filled("/a", size - 200)))),
        "keys in a long url": batch(_json(_part(1, filled("/a('b')", size - 200)))),
        "escapes in a long url": batch(_json(_part(1, filled("/%41", size - 200)))),
        "options in a long url": batch(_json(_part(1, "/$metadata?" + filled("a&b=", size - 200)))),
        "options in 20 urls": _batch(url=f"{SETS}?" + "&".join(f"a{n}=1" for n in range(1100))),
        "long method": batch(_json(_part(1, "/", filled("GET", size - 200)))),
        "wide body": batch(f'{part},"body":{_array("[]", size - 200)}}}'),
        "wide body of objects": batch(f'{part},"body":{_array("{}", size - 200)}}}'),
        "deep body": batch(f'{part},"body":{"[" * 500_000}{"]" * 500_000}}}'),
        "one unlike url": _batch(url="//ex℀mple/"),
        "20 bodies": _batch(
            url=SETS, **posts, body={"a" * 250: "b"} | {f"m{n}": 1 for n in range(4000)}
        ),
        "20 bodies of values": _batch(
            url=SETS,
            **posts,
            body={
                "displayName": "a",
                "filter": {
                    "@odata.type": f"{_TYPE}basicFilter",
                    "attribute": "orgExternalId",
                    "in": [f"{n:0>45}" for n in range(1000)],
                },
            },
        ),
        "20 flows": _batch(
            url=flows,
            **posts,
            body=json.loads(
                _flow(_json([_configuration(n, licenseSkus=["a" * 15] * 50) for n in range(50)]))
            ),
        ),
        "20 times $metadata": _batch(url="/$metadata"),
        "20 lists of sets": _batch(url=f"{SETS}?$top=999"),
        "20 lists of sets with flows": _batch(url=f"{SETS}?$top=999&$expand=provisioningFlows"),
        "20 lists behind many sets": _batch(url=f"{SETS}?$top=999&$skip=10000"),
        "20 lists of definitions": _batch(url=f"{root}/referenceDefinitions?$top=999"),
        "20 lists of role groups": _batch(url=f"{root}/roleGroups?$top=999"),
        "20 sets": _batch(url=f"{SETS}/{keys['set_id']}?$expand=provisioningFlows"),
    }
    lists = ("outboundProvisioningFlowSets", "roleGroups", "referenceDefinitions")
    for (kind, text), name in itertools.product(FILTERS.items(), lists):
        found[f"20 times {name}, $filter, {kind}"] = _batch(
            url=f"{root}/{name}?$filter={quote(text, safe='')}"
        )
    return found


def _filled_json(text: str, size: int) -> str:
    """Repeat a text until it has a size as JSON."""
    return text * (size // (len(_json(text)) - 2) - 100)


# --- events --------------------------------------------------------------------------------------

EVENT_BYTES: Final = 250 * 1024
"""What fits in a message of the Standard tier beside its properties."""


def events() -> dict[str, bytes]:
    """Return bodies of messages that the readiness queue takes."""
    size = EVENT_BYTES - 1000
    unknown = "00000000-0000-4000-8000-000000000000"
    given = json.loads(report(unknown, "userProvisioningFlow", unknown, "failed").body)
    reasons = {
        "text": "x",
        "dots": "a.",
        "tokens": "eyJhbGciOi.",
        "quotes": '"password":"a",',
        "backslashes": '\\\\"pwd\\\\":',
        "keys": "AccountKey=a;",
        "hidden characters": "\u200b",
    }
    found = {
        f"reason, {kind}": _json(
            {
                **given,
                "data": {
                    **given["data"],
                    "reason": filled(text, size * len(text) // len(_json(text)) - 500),
                },
            }
        )
        for kind, text in reasons.items()
    }
    texts = {
        "nested arrays": "[" * (size // 2) + "]" * (size // 2),
        "empty arrays": _array("[]", size),
        "repeated members": _array('{"a":1,"a":1}', size),
        "repeated members of one object": "{" + '"a":1,' * (size // 6 - 1) + '"a":1}',
        "exponents": _array("1e9", size),
        "members": _members(size),
    }
    head = _json({name: value for name, value in given.items() if name != "data"})[:-1]
    for kind, text in texts.items():
        found[kind] = text
        found[f"data, {kind}"] = f'{head},"data":{text}}}'
        packed = base64.b64encode(text[: size * 3 // 4].encode()).decode()
        found[f"data in base64, {kind}"] = f'{head},"data_base64":"{packed}"}}'
    return {kind: text.encode()[:EVENT_BYTES] for kind, text in found.items()}
