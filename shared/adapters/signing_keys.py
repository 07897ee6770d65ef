"""The public keys with which Entra ID signs a tenant's tokens: fetched, checked, kept.

When keys are fetched is attacker-controlled, since a token's header can name any key. So a tenant's
keys are fetched one request at a time, at set intervals, and within limits of time and size.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.domain.errors import KeysUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = logging.getLogger("provisioning.auth")

# Seconds.
KEEP: Final = 24 * 3600.0
REFETCH: Final = 300.0
RETRY_WITHOUT_KEYS: Final = 5.0
FETCH: Final = 3.0

MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 64
MIN_BITS: Final = 2048
MAX_BITS: Final = 8192
_MAX_TEXT = MAX_BITS // 6 + 1  # characters of a modulus in base64url


class _NoKeys(Exception):
    """The issuer did not answer with keys that can be used; the text is for the log."""


@dataclass
class _Held:
    """What is known of one tenant's keys, in times of the clock of SigningKeys."""

    keys: dict[str, RSAPublicKey] = field(default_factory=dict)
    fetched: float = -math.inf
    next_try: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SigningKeys:
    """The signing keys of any number of tenants of one authority.

    Keys are fetched anew when they are 24 hours old, and for an unknown key id, but not within five
    minutes of the last try. When that fails, the last good ones go on serving.
    """

    def __init__(self, authority: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._authority = authority
        self._now = now
        self._tenants: dict[str, _Held] = {}

    async def find(self, tenant: str, key_id: str) -> RSAPublicKey | None:
        """Return the key of that id, None if the tenant has none such.

        `tenant` must be on the allow-list: each one costs memory and a request. Raises
        KeysUnavailable while the tenant's keys were never fetched.
        """
        held = self._tenants.setdefault(tenant, _Held())
        if not self._knows(held, key_id):
            async with held.lock:
                # A caller that waited here finds that it was tried just now.
                if self._now() >= held.next_try:
                    await self._fetch(held, tenant)
        if not held.keys:
            raise KeysUnavailable(max(1, math.ceil(held.next_try - self._now())))
        return held.keys.get(key_id)

    async def probe(self, tenant: str) -> None:
        """Raise KeysUnavailable unless the keys of a tenant are known, or can be fetched now."""
        held = self._tenants.get(tenant)
        if held is None or not held.keys:
            await self.find(tenant, "")

    def _knows(self, held: _Held, key_id: str) -> bool:
        return key_id in held.keys and self._now() - held.fetched < KEEP

    async def _fetch(self, held: _Held, tenant: str) -> None:
        # Set first: a fetch that is cancelled was a try, too.
        held.next_try = self._now() + (REFETCH if held.keys else RETRY_WITHOUT_KEYS)
        try:
            held.keys = _usable_keys(
                await _download(f"{self._authority}/{tenant}/discovery/v2.0/keys")
            )
        except _NoKeys as exc:
            log.warning("The signing keys of tenant %s were not fetched: %s.", tenant, exc)
            return
        held.fetched = self._now()
        held.next_try = held.fetched + REFETCH


async def _download(url: str) -> bytes:
    import aiohttp

    try:
        async with (
            # Nothing is unpacked: a few kilobytes can hold gigabytes.
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=FETCH), auto_decompress=False
            ) as session,
            session.get(
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as response,
        ):
            if response.status != 200:
                raise _NoKeys(f"status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(16 * 1024):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise _NoKeys(f"the answer is longer than {MAX_BYTES} bytes")
            return bytes(body)
    except TimeoutError as exc:
        raise _NoKeys(f"no answer within {FETCH:.0f} s") from exc
    except aiohttp.ClientError as exc:
        raise _NoKeys(type(exc).__name__) from exc


def _usable_keys(body: bytes) -> dict[str, RSAPublicKey]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise _NoKeys("the answer is not JSON") from exc
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _NoKeys("the answer is not a key set")
    if len(entries) > MAX_KEYS:
        raise _NoKeys(f"the answer holds more than {MAX_KEYS} keys")
    keys: dict[str, RSAPublicKey] = {}
    for entry in entries:
        key_id = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(key_id, str) and key_id and (key := _public_key(entry)) is not None:
            keys.setdefault(key_id, key)
    if not keys:
        raise _NoKeys("the answer holds no RSA signing key that can be used")
    return keys


def _public_key(entry: dict[str, Any]) -> RSAPublicKey | None:
    """The key of one JWK; None for any that must not check a token."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt.algorithms import RSAAlgorithm

    modulus, exponent = entry.get("n"), entry.get("e")
    if (
        entry.get("kty") != "RSA"
        or entry.get("use") != "sig"
        or entry.get("alg", "RS256") != "RS256"
        or not isinstance(modulus, str)
        or not isinstance(exponent, str)
        or len(modulus) > _MAX_TEXT
    ):
        return None
    try:
        # Only the public numbers are passed on, whatever else the entry holds.
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": modulus, "e": exponent})
    except ValueError:
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_BITS:
        return None
    return key
