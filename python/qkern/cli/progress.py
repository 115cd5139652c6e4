"""Progress on stderr with the time that is left: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Shown", "progress"]

_SECONDS_BETWEEN_LINES = 5.0


class Shown(Protocol):
    """What `progress` gives."""

    def __call__(self, done: int, total: int | None) -> None:
        """So much is done; total None where it isn't known."""

    def stage(self, name: str) -> None:
        """Something else begins."""


@contextmanager
def progress(what: str, console: Console) -> Iterator[Shown]:
    """Shows `what` until a stage has another name."""
    if not console.is_terminal:
        yield _Lines(what, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bar:
        yield _Bar(bar, bar.add_task(what, total=None))


class _Bar:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def stage(self, name: str) -> None:
        self._bar.reset(self._task, total=None, description=name)


class _Lines:
    def __init__(self, what: str, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()
        self._begin(what)

    def __call__(self, done: int, total: int | None) -> None:
        left = (
            ""
            if total is None or not done
            else f", {(time.monotonic() - self._start) / done * (total - done):.0f} s left"
        )
        if done:
            self._say(f"{self._what}: {done}{'' if total is None else f' of {total}'}{left}")

    def stage(self, name: str) -> None:
        self._begin(name)
        self._say(name)

    def _begin(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()

    def _say(self, line: str) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._console.print(line, highlight=False)
