"""Makes requests fail as rules and headers ask, and notes what was asked: a layer of the host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from functions.http.paths import path_segments
from local.faults import answers, batches, endpoints
from local.faults.clock import Time
from local.faults.readiness import Readiness
from local.faults.reading import HEADER, MOST_BYTES, Fault, RulesError
from local.faults.requests import Entry, RequestLog
from local.faults.rules import Rules, Target
from local.host.clock import HostClock
from local.host.errors import HostError
from local.host.index import App
from local.host.invocation import HttpAnswer
from local.host.layer import Asked, Cut, Run
from local.host.logs import HOST
from local.host.routes import Router
from local.host.worker_checks import HTTP_TRIGGER


class Faults:
    """The layer for one run of the host (see local.host.layer.Layer)."""

    def __init__(
        self, app: App, route_prefix: str, environ: Mapping[str, str], clock: HostClock | None
    ) -> None:
        """Read the rules of the file that FAULTS names; raises HostError where it cannot."""
        self._router = Router(app.routes(route_prefix))
        self.rules = Rules({function.name for function in app.of_kind(HTTP_TRIGGER)})
        self._file = Path(name) if (name := environ.get("FAULTS")) else None
        #: its time and size when it was read last; None where it was not there
        self._file_state: tuple[int, int] | None = (0, 0)
        self._read_file()
        self._log = RequestLog()
        self._readiness = Readiness(environ)
        self._served: dict[str, Mapping[str, endpoints.Serve]] = {
            "/local/faults": {
                "GET": self._get_rules,
                "PUT": self._put_rules,
                "POST": self._post_rule,
                "DELETE": self._delete_rules,
            },
            "/local/requests": {"GET": self._get_requests, "DELETE": self._delete_requests},
        }
        if clock is not None:
            clock.call_when_moved(self._readiness.clock_moved)
            self._served["/local/time"] = Time(clock).served

    def _read_file(self) -> None:
        """Take the file's rules where it is another than at the last time; raises HostError."""
        if self._file is None:
            return
        try:
            found = self._file.stat() if self._file.is_file() else None
            state = found and (found.st_mtime_ns, found.st_size)
            if state == self._file_state:
                return
            self._file_state = state
            with self._file.open("rb") as file:
                self.rules.replace(file.read(MOST_BYTES + 1))
        except OSError as exc:
            raise HostError(f"FAULTS={self._file}: {exc.strerror}") from exc
        except RulesError as exc:
            raise HostError([f"{self._file}: {each}" for each in exc.sentences]) from exc

    def _read_file_again(self) -> None:
        try:
            self._read_file()
        except HostError as exc:
            HOST.warning("The rules stay as they were. %s", exc)

    async def endpoint(self, request: BaseRequest, method: str, path: str) -> web.Response | None:
        """Answer what is asked below /local."""
        if path.split("/", 2)[1].lower() != "local":
            return None
        self._read_file_again()
        return await endpoints.serve(request, method, path, self._served)

    async def around(self, asked: Asked, run: Run) -> HttpAnswer | Cut:
        """Answer a request by the function, by a fault, or by both."""
        entry = Entry.of(asked, self._operation(asked.method, asked.path))
        self._log.add(entry)
        answer = await self._answer(asked, entry, run)
        sent = answer.answer if isinstance(answer, Cut) else answer
        if sent is None:
            entry.end(None, None, 0)
        else:
            ids = [value for name, value in sent.headers if name.lower() == "request-id"]
            status = int(sent.status) if sent.status.isdigit() else 500
            entry.end(status, ids[0] if ids else None, len(sent.body))
        return answer

    def message(self, body: bytes) -> AbstractAsyncContextManager[None]:
        """Surround the processing of one message of a queue."""
        return self._readiness.message(body)

    async def _answer(self, asked: Asked, entry: Entry, run: Run) -> HttpAnswer | Cut:
        try:
            fault = self._decide(asked, entry.operation)
        except RulesError as exc:
            return answers.refused(asked, exc.sentences)
        entry.fault = fault
        if fault is None and entry.operation == "batch":
            return await self._answer_batch(asked, entry, run)
        if fault is None:
            return await _carried_out(asked, entry, run)
        await asyncio.sleep(fault.delay)
        if fault.readiness_status is not None:
            entry.carried_out = True
            created, applied = await self._readiness.create(asked, fault, run)
            if not applied:
                entry.fault = None
                self.rules.give_back(fault, asked.headers.get(HEADER))
            return created
        late = fault.truncate or fault.when == "after"
        if fault.status is None and not fault.cut and not fault.truncate:
            return await _carried_out(asked, entry, run)
        answer = await _carried_out(asked, entry, run) if late else None
        if fault.status is not None:
            return answers.failed(asked, fault.status, fault)
        return Cut(answer if fault.truncate else None)

    async def _answer_batch(self, asked: Asked, entry: Entry, run: Run) -> HttpAnswer:
        batch = batches.read(asked, self._operation, self._decide_part)
        if batch is None:
            return await _carried_out(asked, entry, run)
        entry.parts = list(batch.entries)
        await asyncio.sleep(batch.delay)
        return batch.answered(await _carried_out(batch.asked, entry, run))

    def _decide_part(self, asked: Asked, operation: str) -> Fault | None:
        target = Target(asked.method, asked.path, operation, is_part=True)
        fault = self.rules.decide(target, asked.headers.get(HEADER))
        if fault is not None and not fault.fits_parts:
            if fault.readiness_status is not None:
                raise RulesError(["A part gets no readiness: create the flow by itself."])
            raise RulesError(["A part has no connection of its own: cut the whole batch."])
        return fault

    def _decide(self, asked: Asked, operation: str) -> Fault | None:
        if path_segments(asked.path)[0].lower() != "beta":
            return None
        self._read_file_again()
        target = Target(asked.method, asked.path, operation)
        return self.rules.decide(target, asked.headers.get(HEADER))

    def _operation(self, method: str, path: str) -> str:
        """The function for a path, its keys as segments, which it is for the host only then."""
        found = self._router.find(method, "/".join(path_segments(path)))
        return "" if found is None else found[0].function_name

    async def _get_rules(self, body: bytes) -> Mapping[str, Any]:
        return self.rules.shown()

    async def _put_rules(self, body: bytes) -> Mapping[str, Any]:
        self.rules.replace(body)
        return self.rules.shown()

    async def _post_rule(self, body: bytes) -> Mapping[str, Any]:
        self.rules.add(body)
        return self.rules.shown()

    async def _delete_rules(self, body: bytes) -> None:
        self.rules.clear()

    async def _get_requests(self, body: bytes) -> Mapping[str, Any]:
        return self._log.shown()

    async def _delete_requests(self, body: bytes) -> None:
        self._log.clear()


async def _carried_out(asked: Asked, entry: Entry, run: Run) -> HttpAnswer:
    entry.carried_out = True
    return await run(asked)
