"""What is built once for each tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from shared.domain.context import served_tenant

_Built = TypeVar("_Built")


class PerTenant(Generic[_Built]):
    """Keeps what a function builds for each tenant; called, it returns that of the one served."""

    def __init__(self, build: Callable[[], _Built]) -> None:
        self.__doc__ = build.__doc__
        self._build = build
        self._built: dict[str, _Built] = {}

    def __call__(self) -> _Built:
        tenant = served_tenant()
        if tenant not in self._built:
            self._built[tenant] = self._build()
        return self._built[tenant]

    def cache_clear(self) -> None:
        self._built.clear()
