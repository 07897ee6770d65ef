"""The door of JSON batches: up to twenty requests in one, each answered as if it came alone."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import azure.functions as func

from functions.http.operations import ROOT, dispatch, json_body, ok, operation
from shared.contract.json_body import repeated_names
from shared.domain.errors import Fault, InvalidRequest

bp = func.Blueprint()
log = logging.getLogger("provisioning.batch")

MAX_REQUESTS: Final = 20
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MAX_ID: Final = 128
_MEMBERS: Final = frozenset({"id", "method", "url", "headers", "body", "dependsOn"})
# What the batch itself was sent with counts for each request in it, unless that says otherwise.
_INHERITED: Final = ("authorization", "client-request-id", "traceparent")


@dataclass(frozen=True)
class Part:
    """One request of a batch; `depends_on` has the ids of those that must succeed before it."""

    id: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    depends_on: tuple[str, ...]


@operation(bp, "POST", "$batch", needs=None)
async def batch(req: func.HttpRequest) -> func.HttpResponse:
    """Carry out the requests of a batch, at the same time where none waits for another.

    Anyone may send one: each request in it is checked for what it asks.
    """
    try:
        parts = read_parts(json_body(req))
    except RecursionError as exc:
        raise InvalidRequest(
            Fault("InvalidValue", "A body in this batch is nested too deeply.", "$.requests")
        ) from exc
    done: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def carried_out(part: Part) -> dict[str, Any]:
        for needed in part.depends_on:
            if (await done[needed])["status"] >= 400:
                return _dependency_failed(part, needed)
        return await _answer(req, part)

    async with asyncio.TaskGroup() as group:
        for part in parts:
            done[part.id] = group.create_task(carried_out(part))
    return ok(req, {"responses": [done[part.id].result() for part in parts]})


def read_parts(body: Any) -> list[Part]:
    """Check a batch; raises InvalidRequest with every fault of its form.

    What a request means is not checked here: that is told in its own answer.
    """
    requests = body.get("requests") if isinstance(body, Mapping) else None
    if not isinstance(requests, list) or not 1 <= len(requests) <= MAX_REQUESTS:
        raise InvalidRequest(
            Fault(
                "InvalidValue",
                f"Give an object with 'requests', an array of 1 to {MAX_REQUESTS} requests.",
                "$.requests",
            )
        )
    faults: list[Fault] = []
    parts: list[Part] = []
    for index, given in enumerate(requests):
        part = _read_part(given, f"$.requests[{index}]", {part.id for part in parts}, faults)
        if part is not None:
            parts.append(part)
    if faults:
        raise InvalidRequest(*faults)
    return parts


def _read_part(given: Any, path: str, earlier: set[str], faults: list[Fault]) -> Part | None:
    def fault(message: str, member: str = "") -> None:
        faults.append(Fault("InvalidValue", message, path + member))

    if not isinstance(given, Mapping):
        fault("Give a JSON object with id, method and url.")
        return None
    before = len(faults)
    part_id = given.get("id")
    if not isinstance(part_id, str) or not 0 < len(part_id) <= _MAX_ID:
        fault(f"Give an id, a text of up to {_MAX_ID} characters.", ".id")
    elif part_id in earlier:
        fault("This id is taken by an earlier request; give each its own.", ".id")
    method = given.get("method")
    if not isinstance(method, str) or method.upper() not in _METHODS:
        fault(f"Give one of {', '.join(_METHODS)}.", ".method")
    url = given.get("url")
    relative = _relative_path(url)
    if relative is None:
        fault("Give a URL relative to the service root, such as /external/industryData.", ".url")
    elif _is_batch(relative):
        fault("A batch cannot hold a batch; put its requests here.", ".url")
    headers = given.get("headers", {})
    if not isinstance(headers, Mapping) or not all(isinstance(v, str) for v in headers.values()):
        fault("Give an object of texts.", ".headers")
    depends_on = given.get("dependsOn", [])
    if not isinstance(depends_on, list) or not all(
        isinstance(each, str) and each in earlier for each in depends_on
    ):
        # Only earlier ones: so nothing can wait for itself.
        fault("Give an array of ids of requests that come before this one.", ".dependsOn")
    for name in sorted(given.keys() - _MEMBERS):
        fault(f"A request has {', '.join(sorted(_MEMBERS))}; remove '{name[:64]}'.")
    if _has_repeated_members(given):
        fault("A member of this request is given more than once; keep one.")
    if len(faults) > before:
        return None
    names = {name.lower(): value for name, value in headers.items()}
    return Part(
        str(part_id),
        str(method).upper(),
        str(url),
        names,
        _body(given.get("body"), names),
        tuple(depends_on),
    )


def _relative_path(url: object) -> str | None:
    """Return the path of a URL relative to the service root; None for anything else."""
    if not isinstance(url, str) or not url.strip("/"):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets or characters that no host name has
        return None
    return None if parts.scheme or parts.netloc else parts.path


def _is_batch(path: str) -> bool:
    """Tell whether a path is that of a batch, however it is written."""
    segments = [each for each in unquote(path).lower().split("/") if each]
    return [each for each in segments if each != ROOT] == ["$batch"]


def _has_repeated_members(value: Any) -> bool:
    # Told here: in a body that is written again for its own request they could not be seen.
    if isinstance(value, Mapping) and repeated_names(value):
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, (Mapping, list)) and any(map(_has_repeated_members, inner))


def _body(value: Any, headers: Mapping[str, str]) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str) and "json" not in headers.get("content-type", "json").lower():
        return value.encode()
    return json.dumps(value, ensure_ascii=False).encode()


async def _answer(req: func.HttpRequest, part: Part) -> dict[str, Any]:
    path, _, query = part.url.partition("#")[0].partition("?")
    inherited = {name: req.headers[name] for name in _INHERITED if name in req.headers}
    # As the host does: a parameter without a value is no parameter.
    params = {name: value for name, value in parse_qsl(query) if value}
    root = req.url.partition("?")[0].rstrip("/").rpartition("/")[0]
    alone = func.HttpRequest(
        part.method,
        f"{root}/{part.url.lstrip('/')}",
        headers={**inherited, **part.headers},
        params=params,
        body=part.body,
    )
    try:
        response = await dispatch(alone, path.strip("/").removeprefix(f"{ROOT}/"))
    except Exception:
        # Alone it would be a failed invocation and an empty 500; here the others have answers.
        log.exception("request %s of a batch failed", part.id)
        return {"id": part.id, "status": 500, "headers": {}}
    answer: dict[str, Any] = {
        "id": part.id,
        "status": response.status_code,
        "headers": dict(response.headers.items()),
    }
    body = response.get_body()
    media_type = response.headers.get("Content-Type") or response.mimetype or ""
    answer["headers"].setdefault("Content-Type", media_type)
    if not body:
        del answer["headers"]["Content-Type"]
    elif "json" in media_type:
        answer["body"] = json.loads(body)
    elif media_type.startswith("text/"):
        answer["body"] = body.decode()
    else:
        answer["body"] = base64.b64encode(body).decode()
    return answer


def _dependency_failed(part: Part, needed: str) -> dict[str, Any]:
    return {
        "id": part.id,
        "status": 424,
        "headers": {"Content-Type": "application/json"},
        "body": {
            "error": {
                "code": "FailedDependency",
                "message": f"The request '{needed}', on which this one depends, failed.",
            }
        },
    }
