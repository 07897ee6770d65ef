"""Encrypts the passwords inside flows, so that no store, queue, log or backup has one in clear."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping

from shared.domain.errors import SettingsError, UnreadablePassword
from shared.domain.secrets import Secret

_NONCE_BYTES = 12
_KEY_BYTES = 32
BOUND = "roleGroup"
"""Marks a sealed value that belongs to one role group of its flow."""


class Keyring:
    """AES-256-GCM keys by id. The first encrypts; all of them decrypt."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys
        self._current = next(iter(keys))

    @classmethod
    def read(cls, text: str) -> Keyring:
        """Build from `id:base64,id:base64,…`, newest first; a SettingsError shows no key."""
        keys: dict[str, bytes] = {}
        for entry in text.split(","):
            key_id, _, encoded = entry.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError:  # binascii.Error is one; text that is not ASCII gives a plain one
                key = b""
            if not key_id or len(key) != _KEY_BYTES or key_id in keys:
                raise SettingsError(
                    "PASSWORD_KEYS must be 'id:key' entries joined by commas, each id once and "
                    f"each key {_KEY_BYTES} random bytes in base64; entry {len(keys) + 1} is not."
                )
            keys[key_id] = key
        return cls(keys)

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    def signing_key(self, purpose: str) -> bytes:
        """Derive a key for signing; another purpose or another current key gives another one."""
        return hmac.digest(self._keys[self._current], f"sign {purpose}".encode(), "sha256")

    def seal(self, password: Secret, flow_id: str, role_group: str) -> dict[str, str]:
        """Encrypt a password so that it opens for this role group of this flow only."""
        # Most requests hold no password, and importing the cipher costs a cold start 20 ms.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._keys[self._current])
        owner = f"{flow_id} {role_group}".encode()
        sealed = nonce + cipher.encrypt(nonce, password.reveal().encode(), owner)
        return {
            "keyId": self._current,
            "sealed": base64.b64encode(sealed).decode(),
            "bound": BOUND,
        }

    def is_outdated(self, sealed: Mapping[str, str]) -> bool:
        """Tell whether another key has sealed a password, or an earlier version of `seal`."""
        return sealed.get("keyId") != self._current or "bound" not in sealed

    def open(self, sealed: Mapping[str, str], flow_id: str, role_group: str) -> Secret:
        """Decrypt what `seal` made for this role group of this flow.

        Raises UnreadablePassword for a key that is not in the ring, and for a changed or moved
        value. What earlier versions sealed, for the flow as a whole, opens as well.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = str(sealed.get("keyId"))
        if key_id not in self._keys:
            raise UnreadablePassword(key_id[:64], known=False)
        owner = (f"{flow_id} {role_group}" if "bound" in sealed else flow_id).encode()
        cipher = AESGCM(self._keys[key_id])
        try:
            raw = base64.b64decode(sealed["sealed"], validate=True)
            clear = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner)
        except (InvalidTag, KeyError, TypeError, ValueError) as exc:
            # The last three come of a value that is missing, or truncated, or not base64.
            raise UnreadablePassword(key_id, known=True) from exc
        return Secret(clear.decode())
