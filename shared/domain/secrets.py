"""Passwords on their way to encryption and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

MASKED_PASSWORD = "*" * 15
"""What readers are shown in place of every password, whatever its length."""


class Secret:
    """A password in clear: neither printed, logged nor encoded by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the clear text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASKED_PASSWORD})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class StoredPassword:
    """A password that is stored already, encrypted: what an update keeps instead of a new one.

    It never comes from JSON: an update puts it where the client omitted a password or sent the mask
    back.
    """

    def __init__(self, sealed: Mapping[str, str]) -> None:
        self.sealed = dict(sealed)


class Seals(Protocol):
    """What encrypts a password for one role group of one flow."""

    def seal(self, password: Secret, flow_id: str, role_group: str) -> dict[str, str]:
        """Return the encrypted form."""
        ...


class Opens(Protocol):
    """What decrypts the password of one role group of one flow."""

    def open(self, sealed: Mapping[str, str], flow_id: str, role_group: str) -> Secret:
        """Return the clear text; raises UnreadablePassword."""
        ...


class Ring(Seals, Opens, Protocol):
    """What does both, with several keys."""

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        ...

    @property
    def bound(self) -> str:
        """What `seal` marks its values with, by what they are bound to."""
        ...

    def is_outdated(self, sealed: Mapping[str, str]) -> bool:
        """Tell whether `seal` would seal today with another key, or bind to more."""
        ...
