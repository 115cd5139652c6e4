"""The histogram that a range is chosen from: by any of the methods, each once."""

from __future__ import annotations

from ..scheme import Scheme
from .histogram import Histogram
from .methods import get_method

__all__ = ["HistogramObserver"]


class HistogramObserver(Histogram):
    """A `Histogram` that knows the methods."""

    def range(self, scheme: Scheme, method: str = "kl") -> tuple[float, float]:
        choose = get_method(method)
        self._require_data()
        return self.once(choose, scheme)
