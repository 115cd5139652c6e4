"""Frames that no thread runs, by the shapes of their inputs: those of the latest shapes are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from ..locks import Lock
from .frame import Frame

__all__ = ["IdleFrames"]


class IdleFrames:
    """May be used from several threads; a frame belongs to the one that took it until it is put back."""

    def __init__(self, most_shapes: int) -> None:
        self._most_shapes = most_shapes
        self._frames: OrderedDict[Hashable, list[Frame]] = OrderedDict()
        self._lock = Lock()

    def take(self, shapes: Hashable) -> Frame | None:
        """A frame for these shapes, None where all are in use."""
        with self._lock:
            idle = self._frames.get(shapes)
            return idle.pop() if idle else None

    def put(self, shapes: Hashable, frame: Frame) -> None:
        """Gives a frame back; those of the shapes that haven't been seen for the longest time are forgotten."""
        with self._lock:
            self._frames.setdefault(shapes, []).append(frame)
            self._frames.move_to_end(shapes)
            while len(self._frames) > self._most_shapes:
                self._frames.popitem(last=False)
