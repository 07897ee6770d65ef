"""Encrypts the passwords inside flows, so that no store, queue, log or backup has one in clear."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping

from shared.domain.errors import SettingsError, UnreadablePassword
from shared.domain.ids import as_guid
from shared.domain.secrets import Secret

_NONCE_BYTES = 12
_KEY_BYTES = 32
BOUND = "tenant"
"""Marks a sealed value that belongs to one role group of a flow of one tenant."""
_BOUND_TO_ROLE_GROUP = "roleGroup"


class Keyring:
    """AES-256-GCM keys by id, as one tenant has them. The first encrypts; all of them decrypt."""

    def __init__(self, keys: dict[str, bytes], tenant: str) -> None:
        self._keys = keys
        self._tenant = tenant
        self._current = next(iter(keys))

    @classmethod
    def read(cls, text: str, tenant: str) -> Keyring:
        """Build a tenant's ring from `id:base64,id@tenant:base64,…`, newest first.

        An entry that names a tenant is for that one only. A SettingsError shows no key.
        """
        keys: dict[str, bytes] = {}
        seen: set[str] = set()
        for number, entry in enumerate(text.split(","), 1):
            name, _, encoded = entry.strip().partition(":")
            key_id, at, owner = name.partition("@")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError:  # binascii.Error is one; text that is not ASCII gives a plain one
                key = b""
            if (
                not key_id
                or len(key) != _KEY_BYTES
                or key_id in seen
                or (at and as_guid(owner) is None)
            ):
                raise SettingsError(
                    "PASSWORD_KEYS must be 'id:key' or 'id@tenant:key' entries joined by commas, "
                    f"each id once, each key {_KEY_BYTES} random bytes in base64 and each tenant a "
                    f"GUID; entry {number} is not."
                )
            seen.add(key_id)
            if not at or as_guid(owner) == tenant:
                keys[key_id] = key
        if not keys:
            raise SettingsError(f"PASSWORD_KEYS has no key for the tenant {tenant}: add one.")
        return cls(keys, tenant)

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    @property
    def bound(self) -> str:
        """What `seal` marks its values with."""
        return BOUND

    def signing_key(self, purpose: str) -> bytes:
        """Derive a key for signing: another one for each purpose, tenant and current key."""
        signed = f"sign {purpose} {self._tenant}".encode()
        return hmac.digest(self._keys[self._current], signed, "sha256")

    def seal(self, password: Secret, flow_id: str, role_group: str) -> dict[str, str]:
        """Encrypt a password so that it opens for this role group of the tenant's flow only."""
        # Most requests hold no password, and importing the cipher costs a cold start 20 ms.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._keys[self._current])
        owner = f"{self._tenant} {flow_id} {role_group}".encode()
        sealed = nonce + cipher.encrypt(nonce, password.reveal().encode(), owner)
        return {
            "keyId": self._current,
            "sealed": base64.b64encode(sealed).decode(),
            "bound": BOUND,
        }

    def is_outdated(self, sealed: Mapping[str, str]) -> bool:
        """Tell whether another key has sealed a password, or an earlier version of `seal`."""
        return sealed.get("keyId") != self._current or sealed.get("bound") != BOUND

    def open(self, sealed: Mapping[str, str], flow_id: str, role_group: str) -> Secret:
        """Decrypt what `seal` made for this role group of this flow.

        Raises UnreadablePassword for a key that is not in the ring, and for a changed or moved
        value. What earlier versions sealed, without the tenant or for the flow as a whole, opens as
        well.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = str(sealed.get("keyId"))
        if key_id not in self._keys:
            raise UnreadablePassword(key_id[:64], known=False)
        owner = {
            BOUND: f"{self._tenant} {flow_id} {role_group}",
            _BOUND_TO_ROLE_GROUP: f"{flow_id} {role_group}",
        }.get(str(sealed.get("bound")), flow_id)
        cipher = AESGCM(self._keys[key_id])
        try:
            raw = base64.b64decode(sealed["sealed"], validate=True)
            clear = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode())
        except (InvalidTag, KeyError, TypeError, ValueError) as exc:
            # The last three come of a value that is missing, or truncated, or not base64.
            raise UnreadablePassword(key_id, known=True) from exc
        return Secret(clear.decode())
