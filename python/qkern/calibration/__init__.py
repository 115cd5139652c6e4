"""Stage 4: what flows through the float model -> a range for each tensor.

Observers (`MinMaxObserver`, `HistogramObserver`, `MovingAverageMinMaxObserver`) summarize a tensor; `METHODS` choose a
range from the summary.
"""

from __future__ import annotations

from ..runtime.signature import InputSpec, input_specs
from .calibrate import calibrate, observer_for
from .data import Feeds
from .histogram_observer import HistogramObserver
from .methods import METHODS
from .minmax import MinMaxObserver
from .moving_average_minmax import MovingAverageMinMaxObserver
from .observer import Observer
from .samples import KeptSamples
from .sampling import SAMPLES, Sampling
from .table import CalibrationTable, TableMismatchError

__all__ = [
    "METHODS",
    "SAMPLES",
    "CalibrationTable",
    "Feeds",
    "HistogramObserver",
    "InputSpec",
    "KeptSamples",
    "MinMaxObserver",
    "MovingAverageMinMaxObserver",
    "Observer",
    "Sampling",
    "TableMismatchError",
    "calibrate",
    "input_specs",
    "observer_for",
]
