"""Makes single requests of a JSON batch fail, while the service itself carries out the others.

A part that is to fail goes to the service as one that fails there, so that those which depend on
it are answered 424 by the service; the fault's answer then takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import azure.functions as func

from functions.http.batch import Part, dependency_failed, read_parts
from functions.http.requests import json_body
from local.faults import answers
from local.faults.reading import Fault, RulesError
from local.faults.requests import Entry
from local.host.invocation import HttpAnswer
from local.host.layer import Asked
from shared.domain.errors import ServiceError

#: below /beta, and no operation's
_NOWHERE: Final = "/local-fault"
#: headers that are for the bytes as the client sent them
_OF_BYTES: Final = ("content-encoding", "content-length")

#: decides on one part: its fault, if any; raises RulesError
Decide = Callable[[Asked, str], Fault | None]


@dataclass
class Batch:
    """A batch, what each of its parts is answered in place of the service, and its delay."""

    asked: Asked
    entries: Sequence[Entry]
    #: answers by the index of their part, in place of those of the service
    instead: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    delay: float = 0.0

    def answered(self, answer: HttpAnswer) -> HttpAnswer:
        """Put the answers of the faults into the service's, and note all of them."""
        if answer.status != "200":
            return answer
        body = json.loads(answer.body)
        responses = body["responses"]
        for index, entry in enumerate(self.entries):
            own = responses[index]
            if index in self.instead and own["status"] != 424:
                responses[index] = own = self.instead[index]
            else:
                entry.fault = None if entry.fault and entry.fault.status else entry.fault
            if own["status"] == 424:
                entry.carried_out = False
            entry.end(own["status"], _request_id(own), 0)
        if not self.instead:
            return answer
        headers = [(n, v) for n, v in answer.headers if n.lower() != "content-length"]
        return HttpAnswer(answer.status, headers, json.dumps(body, ensure_ascii=False).encode())


def read(asked: Asked, operation: Callable[[str, str], str], decide: Decide) -> Batch | None:
    """Decide on each part of a batch; None for one that the service will refuse."""
    request = func.HttpRequest(asked.method, asked.path, headers=asked.headers, body=asked.body)
    try:
        body = json_body(request)
        parts = read_parts(body, f"http://{asked.headers.get('host', '')}/beta")
    except ServiceError:
        return None
    entries = []
    sent = dict(body)
    sent["requests"] = list(body["requests"])
    instead: dict[int, Mapping[str, Any]] = {}
    late: set[str] = set()
    delay = 0.0
    for index, part in enumerate(parts):
        single = Asked("", part.method, f"/beta/{part.path}", "", dict(part.headers), b"")
        entry = Entry(
            part.method,
            single.path[:2048],
            operation(part.method, single.path),
            part_id=part.id,
            carried_out=True,
        )
        entries.append(entry)
        failed_late = next((each for each in part.depends_on if each in late), None)
        if failed_late is not None:
            instead[index] = dependency_failed(part, failed_late)
        else:
            try:
                fault = entry.fault = decide(single, entry.operation)
            except RulesError as exc:
                fault = None
                instead[index] = _as_part(part, answers.refused(single, exc.sentences))
            if fault is not None:
                delay = max(delay, fault.delay)
            if fault is not None and fault.status is not None:
                instead[index] = _as_part(part, answers.failed(single, fault.status, fault))
                if fault.when == "after":
                    late.add(part.id)
                    continue
        if index in instead:
            entry.carried_out = False
            sent["requests"][index] = {
                "id": part.id,
                "method": "GET",
                "url": _NOWHERE,
                "dependsOn": list(part.depends_on),
            }
    headers = {n: v for n, v in asked.headers.items() if n != "accept-encoding"}
    if instead:
        headers = {n: v for n, v in headers.items() if n not in _OF_BYTES}
        content = json.dumps(sent, ensure_ascii=False).encode()
        headers["content-length"] = str(len(content))
        asked = asked._replace(body=content)
    return Batch(asked._replace(headers=headers), entries, instead, delay)


def _as_part(part: Part, answer: HttpAnswer) -> Mapping[str, Any]:
    return {
        "id": part.id,
        "status": int(answer.status),
        "headers": dict(answer.headers),
        "body": json.loads(answer.body),
    }


def _request_id(answer: Mapping[str, Any]) -> str | None:
    names = {name.lower(): value for name, value in answer.get("headers", {}).items()}
    found: str | None = names.get("request-id")
    return found
