"""Locks that a forked process can take: what another thread held in the parent is free in the child."""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading would have to be imported
from types import TracebackType
from weakref import WeakSet

__all__ = ["Lock"]


class Lock:
    """A lock for a few lines, as a context manager; not for two times by one thread."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Frees it, whoever holds it."""
        self._lock = allocate_lock()


_locks: WeakSet[Lock] = WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
