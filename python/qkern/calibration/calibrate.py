"""Runs the float model over the data and lets an observer see every tensor that is going to be 8-bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .cluster import calibrate_partitions
from .data import Data, is_partitioned
from .histogram_observer import HistogramObserver
from .methods import get_method
from .minmax import MinMaxObserver
from .moving_average_minmax import MovingAverageMinMaxObserver
from .observer import Observer
from .samples import KeptSamples
from .stream import Progress, calibrate_stream
from .table import CalibrationTable

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.foreign_nodes import Fallback

__all__ = ["calibrate", "observer_for"]


def observer_for(method: str) -> type[Observer]:
    """The cheapest observer that `method` can work from. Raises ValueError for an unknown method."""
    get_method(method)
    cheap: dict[str, type[Observer]] = {
        "minmax": MinMaxObserver,
        "moving_average_minmax": MovingAverageMinMaxObserver,
    }
    return cheap.get(method, HistogramObserver)


def calibrate(
    model: ir.Model,
    data: Data,
    tensors: Sequence[str],
    *,
    method: str = "kl",
    observer: type[Observer] | None = None,
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    progress: Progress | None = None,
    keep: KeptSamples | None = None,
    into: CalibrationTable | None = None,
    samples: str | None = None,
) -> CalibrationTable:
    """The table of `tensors`, values of the float `model`, over all of `data` (see `data.Feeds` for its forms).

    Each tensor gets an observer of its own: `observer`, or the cheapest that `method` can work from. Data streams
    through: memory doesn't grow with it. `progress(done, total)` is called with the number of samples before the first
    batch and after each; total is None where only the end of the data will tell. `keep` sees every feed. `fallback` is
    that of `Session`.
    `into` is an empty table to fill, or one that was filled in part with the same data: its samples are passed over. It
    is whole after every batch, however the run ends. Partitions of Dask are seen by its workers, to the same bits
    (cluster.py). `samples` says what one is: "axis0", "items", or None for the rule of sampling.py.

    Raises ValueError where there is no data, an array doesn't fit the input it names, or a tensor holds NaN (naming the
    tensor and the sample), TableMismatchError where the table `into` is not of this model, these tensors and this data.
    Infinities are counted, and in no range.
    """
    new = observer_for(method) if observer is None else observer
    run = calibrate_partitions if is_partitioned(data) else calibrate_stream
    return run(
        model,
        data,
        tensors,
        observer=new,
        num_threads=num_threads,
        fallback=fallback,
        progress=progress,
        keep=keep,
        into=into,
        samples=samples,
    )
