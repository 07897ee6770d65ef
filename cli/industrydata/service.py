"""The service's API as this command uses it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx

from industrydata.errors import NotFoundError, RefusedError, UnreachableError
from industrydata.refusals import refusal
from industrydata.target import Target
from industrydata.text import clean, counted, short
from industrydata.tokens import Token

INDUSTRY_DATA: Final = "/beta/external/industryData"
SETS: Final = f"{INDUSTRY_DATA}/outboundProvisioningFlowSets"
REQUEST_SECONDS: Final = 30.0
# The service sends nothing that is longer.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_PAGES: Final = 10_000
MAX_WAIT_SECONDS: Final = 60.0
"""How long one request is repeated while the service asks for patience."""
_PAUSE_SECONDS: Final = 1.0
_TRIES: Final = 5
_PAGE: Final = 100


class BrokenConnectionError(UnreachableError):
    """The connection broke before there was an answer."""


class Answer(NamedTuple):
    """One answer: its status, how long the service wants to be left alone, headers, body."""

    status: int
    pause: float
    etag: str | None
    content: bytes


class Service:
    """The API of a target, called with a token.

    Methods raise RefusedError, NotFoundError, SignInError or UnreachableError. `note` is called
    with a sentence when there is a pause that a person would notice.
    """

    def __init__(
        self, target: Target, token: Token, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = target.root
        # Health, the status page and dead letters are beside the API, not below it.
        self._site = target.root.removesuffix("/beta")
        self._token = token
        self._start_hint = target.start_hint
        self._note = note
        #: by how much the service's clock was ahead of this machine's in the last answer
        self.ahead = timedelta(0)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token.value}", "Accept": "application/json"},
            timeout=REQUEST_SECONDS,
            # Proxies are for services elsewhere. A redirect would take the token along.
            trust_env=not target.is_local,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        if_match: str | None = None,
        request_id: str | None = None,
        repeat: bool = False,
    ) -> dict[str, Any]:
        """Send a request to a path of the service and return the JSON object of its answer.

        It is repeated as Retry-After says, within MAX_WAIT_SECONDS: any request that was refused
        for being one too many (429), and a read, or what may be repeated, also while the service
        is away (503) or when the connection broke before the answer.
        """
        given = {"If-Match": if_match, "client-request-id": request_id}
        headers = {name: value for name, value in given.items() if value is not None}
        answer = self._patiently(method, path, body, headers, repeat or method == "GET")
        if answer.status >= 300:
            raise refusal(answer.status, answer.content, self._token)
        return self._object(path, answer.content)

    def etag(self, path: str) -> str | None:
        """Return the ETag of an entity."""
        # Without a conditional header the service sends none; this one matches no entity.
        answer = self._patiently("GET", path, None, {"If-None-Match": '"none"'}, True)
        if answer.status >= 300:
            raise refusal(answer.status, answer.content, self._token)
        return answer.etag

    def create(self, path: str, body: bytes) -> dict[str, Any]:
        """Create an entity, once: the service knows a repeat by its client-request-id."""
        return self.call("POST", path, body, request_id=str(uuid.uuid4()), repeat=True)

    def post(self, path: str, value: Any, repeat: bool = False) -> dict[str, Any]:
        """Send a value as JSON; `repeat` says that it may be sent again, as a read may."""
        return self.call("POST", path, json.dumps(value).encode(), repeat=repeat)

    def pages(self, path: str, options: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the entities of a collection, page after page."""
        link = f"{path}?{urlencode(options)}" if options else path
        followed: set[str] = set()
        while link not in followed and len(followed) < MAX_PAGES:
            followed.add(link)
            page = self.call("GET", link)
            yield from _entities(page)
            following = page.get("@odata.nextLink")
            if following is None:
                return
            # Only its query: behind a proxy the service may not know the address it is called at.
            link = f"{path}?{urlsplit(str(following)).query}"
        raise RefusedError(
            f"The list has no end: after {counted(len(followed), 'page')} the service still names "
            "another one."
        )

    def sets(self, search: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield flow sets with their flows, by name."""
        options = {"$expand": "provisioningFlows", "$orderby": "displayName", "$top": str(_PAGE)}
        if search is not None:
            escaped = search.replace("\\", "\\\\").replace('"', '\\"')
            options["$search"] = f'"{escaped}"'
        yield from self.pages(SETS, options)

    def set(self, set_id: str) -> dict[str, Any]:
        """Return a flow set with its flows."""
        return self.call("GET", f"{set_path(set_id)}?%24expand=provisioningFlows")

    def flows(self, set_id: str) -> list[dict[str, Any]]:
        """Return the flows of a set."""
        return list(self.pages(flows_path(set_id), {}))

    def flow(self, set_id: str, named: str) -> dict[str, Any]:
        """Return the flow of a set that has an id or is of a kind (user, classGroup, ...)."""
        found = self.flows(set_id)
        for each in found:
            if named.lower() in (str(each.get("id")).lower(), kind_of(each).lower()):
                return each
        there = ", ".join(f"{kind_of(each)} ({clean(each.get('id'))})" for each in found) or "none"
        raise NotFoundError(f"Flow set {set_id} has no flow '{short(named)}'. Its flows: {there}.")

    def history(self, set_id: str, flow_id: str) -> list[dict[str, Any]]:
        """Return what happened to a flow's readiness, newest first."""
        return _entities(self.call("GET", f"{flow_path(set_id, flow_id)}/readinessHistory"))

    def health(self) -> Answer:
        """Return what the service says about itself, whatever it is."""
        return self._send("GET", "/health", None, {})

    def overview(self) -> dict[str, Any]:
        """Return the figures of the status page."""
        answer = self._send("GET", "/status/overview?top=1", None, {})
        if answer.status >= 300:
            raise refusal(answer.status, answer.content, self._token)
        return self._object("/status/overview", answer.content)

    def _patiently(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        repeat: bool,
    ) -> Answer:
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        repeated = (429, 503) if repeat else (429,)
        waited = 0.0
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                answer = self._send(method, path, body, headers)
            except BrokenConnectionError:
                if last or not repeat:
                    raise
                time.sleep(_PAUSE_SECONDS)
                continue
            if answer.status not in repeated or last:
                break
            if waited + answer.pause > MAX_WAIT_SECONDS:
                raise UnreachableError(
                    f"The service is busy and asks to be left alone for {answer.pause:.0f} s: "
                    "run the command again then."
                )
            if answer.pause > _PAUSE_SECONDS:
                self._note(f"The service is busy; the next try is in {answer.pause:.0f} s.")
            time.sleep(answer.pause)
            waited += answer.pause
        return answer

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        url = self._site + path
        content = bytearray()
        try:
            with self._client.stream(method, url, content=body, headers=headers) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise RefusedError(f"{url} sends too much: is that the API?")
        except httpx.TimeoutException as error:
            raise UnreachableError(
                f"{self.root} did not answer within {REQUEST_SECONDS:.0f} s."
            ) from error
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise BrokenConnectionError(
                f"{self.root} does not answer: {clean(error) or type(error).__name__}."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = clean(error) or type(error).__name__
            hint = self._start_hint if isinstance(error, httpx.ConnectError) else ""
            raise UnreachableError(f"{self.root} does not answer: {why}.{hint}") from error
        self.ahead = _ahead(response.headers.get("Date", ""))
        pause = _pause(response.headers.get("Retry-After", ""))
        return Answer(response.status_code, pause, response.headers.get("ETag"), bytes(content))

    def _object(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content or b"{}")
        except (ValueError, RecursionError) as error:
            raise RefusedError(
                f"{self._site}{path} does not answer JSON: is that the API?"
            ) from error
        if not isinstance(answer, dict):
            raise RefusedError(f"{self._site}{path} answers no JSON object: is that the API?")
        return answer


def set_path(set_id: str) -> str:
    """Return the path of a set."""
    return f"{SETS}/{quote(set_id, safe='')}"


def flows_path(set_id: str) -> str:
    """Return the path of a set's flows."""
    return f"{set_path(set_id)}/provisioningFlows"


def flow_path(set_id: str, flow_id: str) -> str:
    """Return the path of a flow."""
    return f"{flows_path(set_id)}/{quote(flow_id, safe='')}"


def kind_of(flow: Mapping[str, Any]) -> str:
    """Name a flow's kind in short: userProvisioningFlow is user."""
    return clean(flow.get("@odata.type")).rpartition(".")[2].removesuffix("ProvisioningFlow")


def flows_of(flow_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the expanded flows of a set."""
    found = flow_set.get("provisioningFlows")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _entities(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    value = page.get("value")
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise RefusedError("The answer is not a list of entities: is that the API?")
    return value


def _ahead(date: str) -> timedelta:
    """Return how far the clock of a Date header, which has whole seconds, is ahead at most."""
    try:
        ahead = parsedate_to_datetime(date).astimezone(UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return timedelta(0)
    return ahead + timedelta(seconds=1) if ahead > timedelta(0) else timedelta(0)


def _pause(retry_after: str) -> float:
    """Return the seconds of a Retry-After header, which may have a date instead."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return _PAUSE_SECONDS
