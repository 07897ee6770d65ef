"""Calls the endpoints that subscriptions name: only hosts that are allowed, at addresses that were
checked.

A host's addresses are looked up for each connection, all of them are checked, and the connection
goes to one that was: a name that means another address a moment later does not get past the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.contract.json_body import write_json
from shared.domain.errors import ReceiverRefused

log = logging.getLogger(__name__)

VALIDATION_SECONDS: Final = 10.0
DELIVERY_SECONDS: Final = 3.0
MAX_ANSWER: Final = 64 * 1024
_LOOKUPS: Final = 4
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
# Public by their numbers, but no host of the internet: Azure's own (health probes, instance
# metadata), and addresses that stand for others, in which any could hide.
_NOT_OTHERS: Final = tuple(
    map(ipaddress.ip_network, ("168.63.129.16/32", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Delivered:
    """How one call went: `fault` is None where it counts, else says in short why not."""

    fault: str | None = None


class Receivers:
    """Checks and calls receivers' endpoints.

    `hosts` are those that may be called, each with its port unless that is 443. With `local`, this
    machine may be called too, over http, at any port of a loopback host that is among them.
    """

    def __init__(self, hosts: frozenset[str], *, local: bool) -> None:
        self._hosts = hosts
        self._local = local
        self._session: aiohttp.ClientSession | None = None

    @property
    def enabled(self) -> bool:
        """Whether any host may be called."""
        return bool(self._hosts)

    def fault_of(self, url: str) -> str | None:
        """Return why an endpoint may not be called, as far as its text says; None if it may."""
        if not url.isascii() or any(each <= " " or each in '\\"<>^`{|}' for each in url):
            return "Give an absolute URL, with all but ASCII escaped."
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return "Give an absolute URL."
        if not host or parts.scheme not in ("http", "https"):
            return "Give an absolute https URL."
        if parts.username is not None or parts.password is not None or parts.fragment:
            return "Omit user, password and fragment of the URL."
        # As in a URL: the last colon of an IPv6 address would pass for that of a port.
        name = f"[{host}]" if ":" in host else host
        if self._local and host in _LOOPBACK_NAMES:
            return None if name in self._hosts else _not_named(name)
        if parts.scheme != "https":
            return "The URL must use https."
        if port not in (None, 443):
            name = f"{name}:{port}"
        if name not in self._hosts:
            return _not_named(name)
        if _literal(host) is not None and not _is_public(host):
            return "The URL leads to an address that is not public."
        return None

    async def validate(self, url: str, token: str) -> None:
        """Have an endpoint repeat a token, as Graph does. Raises ReceiverRefused in Graph's words.

        It must answer 200 with the token as plain text within VALIDATION_SECONDS.
        """
        target = (
            f"{url}{'&' if urlsplit(url).query else '?'}validationToken={quote(token, safe='')}"
        )
        try:
            status, kind, text = await self._post(
                target, b"", "text/plain; charset=utf-8", VALIDATION_SECONDS, read=True
            )
        except TimeoutError:
            raise ReceiverRefused("Subscription validation request timed out.") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            log.info("validation failed: %s", type(exc).__name__)
            raise ReceiverRefused(
                "Subscription validation request failed. The notification endpoint cannot be "
                "reached."
            ) from None
        if status != 200:
            raise ReceiverRefused(
                f"Subscription validation request failed. HTTP status code is '{status}'. "
                "Notification endpoint must respond with 200 OK to validation request."
            )
        if kind != "text/plain":
            raise ReceiverRefused(
                "Subscription validation request failed. Must respond with text/plain content type."
            )
        if text != token.encode():
            raise ReceiverRefused(
                "Subscription validation request failed. Response must exactly match "
                "validationToken query parameter."
            )

    async def deliver(self, url: str, notifications: list[dict[str, Any]]) -> Delivered:
        """Send notifications; they count only where a 2xx comes within DELIVERY_SECONDS."""
        fault = self.fault_of(url)
        if fault is not None:
            return Delivered("the setting NOTIFICATION_HOSTS does not allow it any more")
        body = write_json({"value": notifications})
        try:
            status, _, _ = await self._post(
                url, body, "application/json", DELIVERY_SECONDS, read=False
            )
        except TimeoutError:
            return Delivered(f"no answer within {DELIVERY_SECONDS:.0f} s")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Delivered(type(exc).__name__)
        return Delivered(None if 200 <= status < 300 else f"status {status}")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(
        self, url: str, body: bytes, content_type: str, seconds: float, *, read: bool
    ) -> tuple[int, str, bytes]:
        async with (
            asyncio.timeout(seconds),
            self._client().post(
                url,
                data=body,
                headers={"Content-Type": content_type, "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as response,
        ):
            answer = await _at_most(response.content, MAX_ANSWER) if read else b""
            if not read:
                # The status is all that counts; what follows is not waited for.
                response.close()
            return response.status, response.content_type, answer

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Checking(local=self._local),
                use_dns_cache=False,
                limit=64,
                limit_per_host=8,
                force_close=True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Nothing is unpacked: a few kilobytes can hold gigabytes.
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=VALIDATION_SECONDS),
            )
        return self._session


async def _at_most(content: aiohttp.StreamReader, most: int) -> bytes:
    found = bytearray()
    async for chunk in content.iter_chunked(16 * 1024):
        found += chunk
        if len(found) > most:
            raise ValueError("the answer is too long")
    return bytes(found)


class _Checking(AbstractResolver):
    """Looks names up; raises OSError for one that has an address that may not be called."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        # Threads of its own: a name server that is slow must not hold up the rest of the app.
        self._threads = ThreadPoolExecutor(_LOOKUPS, "lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        results: list[ResolveResult] = []
        for of_family, _, protocol, _, address in found:
            text = str(address[0])
            is_own = self._local and host in _LOOPBACK_NAMES and _is_loopback(text)
            if not is_own and not _is_public(text):
                raise OSError(f"{host} has an address that is not public")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=text,
                    port=port,
                    family=of_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _not_named(host: str) -> str:
    return (
        f"This service may not call '{host[:100]}': its setting NOTIFICATION_HOSTS does not name "
        "it."
    )


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_loopback(text: str) -> bool:
    address = _literal(text)
    return address is not None and address.is_loopback


def _is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet, to which a connection may go."""
    address = _literal(text)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.scope_id is not None or address.teredo is not None:
            return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and not any(address.version == net.version and address in net for net in _NOT_OTHERS)
    )
