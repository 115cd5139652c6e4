"""Tiers: the instruction-set families the kernels are compiled for.

The best one the processor can run is chosen at import; the environment variable QKERN_ISA or `use` overrides it. Every
tier gives the same bits, so the choice matters for speed and for tests only.
"""

from __future__ import annotations

from itertools import count
from types import TracebackType
from weakref import WeakSet

from . import _core
from .locks import Lock

__all__ = ["active", "available", "compiled", "use"]


def compiled() -> list[str]:
    """Names of the tiers in this build, best first."""
    return _core.isa_compiled()


def available() -> list[str]:
    """Names of the tiers this processor can run, best first."""
    return _core.isa_available()


def active() -> str:
    """Name of the tier that new work uses."""
    return _core.isa_active()


class use:
    """Makes `name` the tier of new work, for the whole process; as a context manager, until its end.

    What was packed before (`pack`, `QLinear`, `QConv`, `Session`) stays with the tier that packed it. Contexts of
    several threads may overlap: the latest one that hasn't ended counts. Raises ValueError, naming what is available,
    where the build or the processor lacks the tier.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        with _access:
            self._before = _core.isa_active()
            _core.isa_use(name)
            self._number = next(_numbers)
            _made.add(self)

    def __enter__(self) -> None:
        with _access:
            _made.discard(self)
            _entered.append(self)
            _entered.sort(key=lambda each: each._number)  # another thread's may have been made before and entered after
            _core.isa_use(_entered[-1]._name)  # one that has ended in between has given back what was before it

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _access:
            later = [each for each in (*_entered, *_made) if each._number > self._number]
            _entered.remove(self)
            if later:  # the next one will give back what this one would have
                min(later, key=lambda each: each._number)._before = self._before
            if not _entered or _entered[-1]._number < self._number:
                _core.isa_use(self._before)


_access = Lock()
_numbers = count()
_entered: list[use] = []
_made: WeakSet[use] = WeakSet()  # and not entered, maybe never
