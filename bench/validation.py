"""Validation of the four published bodies, bytes to canonical bytes: `python -m bench.validation`.

Against pydantic's discriminated unions (bench/peers/models.py). Both mask the passwords.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import orjson

from bench.measure import in_turns, seed_bodies
from bench.peers import models
from shared.contract.json_body import read_json
from shared.contract.loading import dump, load_flow
from shared.contract.schemas import FLOW_SCHEMAS
from shared.contract.wire import chosen_schema, instance
from shared.domain.secrets import MASKED_PASSWORD, Secret

TARGET = "<= 1.0 (0.5)"
ROUNDS = 40
CALLS = 30

Way = Callable[[bytes], bytes]


def masked(value: object) -> str:
    """Print a password as readers see it."""
    assert isinstance(value, Secret)
    return MASKED_PASSWORD


def canonical(body: bytes) -> bytes:
    """Read, validate and print one body by the functions that the handlers use."""
    kind, values = load_flow(read_json(body, "application/json"))
    return orjson.dumps(dump(FLOW_SCHEMAS[kind], values), default=masked)


def by_schemas_alone(body: bytes) -> bytes:
    """The same without the compiled functions: Python's json and marshmallow."""
    value = json.loads(body)
    schema = instance(chosen_schema(value, FLOW_SCHEMAS, ""))
    return json.dumps(schema.dump(schema.load(value)), default=masked).encode()


def floor(body: bytes) -> bytes:
    """Read and print without looking: what orjson alone takes."""
    return orjson.dumps(orjson.loads(body))


def all_of(way: Way) -> Callable[[], object]:
    """Do all four bodies one way."""
    bodies = seed_bodies()
    return lambda: [way(body) for body in bodies]


def main() -> None:
    """Print the ratios."""
    for body in seed_bodies():
        ours, theirs = json.loads(canonical(body)), json.loads(models.canonical(body))
        assert ours.keys() == theirs.keys()
        assert ours == json.loads(by_schemas_alone(body))
    for what, ours_way, theirs_way, target in [
        ("against pydantic", canonical, models.canonical, TARGET),
        ("against pydantic as FastAPI feeds it", canonical, models.canonical_as_in_fastapi, TARGET),
        ("the schemas alone, against pydantic", by_schemas_alone, models.canonical, "-"),
        ("orjson's floor, against pydantic", floor, models.canonical, "-"),
    ]:
        compared = in_turns(all_of(ours_way), all_of(theirs_way), ROUNDS, CALLS)
        print(compared.line(what, "us", target))


if __name__ == "__main__":
    main()
