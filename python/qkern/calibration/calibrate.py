"""Runs the float model over the data and lets an observer see every tensor that is going to be 8-bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .data import Data, Feeds, SampleError, is_partitioned
from .fingerprint import MODULUS, fingerprint_of_model, fingerprint_of_samples
from .histogram import HistogramObserver
from .methods import get_method
from .minmax import MinMaxObserver
from .moving_average_minmax import MovingAverageMinMaxObserver
from .observer import Observer
from .samples import KeptSamples, SampleSizes
from .sampling import Feed, Sampling
from .table import CalibrationTable, TableMismatchError

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.foreign_nodes import Fallback
    from ..runtime.session import Session

__all__ = ["Progress", "calibrate", "observer_for", "started"]

Progress: TypeAlias = "Callable[[int, int | None], object]"


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
    keep: KeptSamples | SampleSizes | None = None,
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
    from ..runtime.session import Session

    new = observer_for(method) if observer is None else observer
    if is_partitioned(data):
        from .cluster import calibrate_partitions

        kept = keep if isinstance(keep, KeptSamples) else None
        return calibrate_partitions(
            model,
            data,
            tensors,
            observer=new,
            num_threads=num_threads,
            fallback=fallback,
            progress=progress,
            keep=kept,
            into=into,
            samples=samples,
        )
    sampling = Sampling.of(model, samples)
    feeds = Feeds(data, sampling)
    table = started(into, tensors, new, fingerprint_of_model(model))
    if keep is not None:
        keep.cut = keep.cut and sampling.divisible
    skip, passed = table.samples, 0
    session = Session(model, num_threads, observe=list(tensors), fallback=fallback)
    done = 0
    if progress is not None:
        progress(done, feeds.samples)
    for feed in feeds:
        size = sampling.count(feed)
        if keep is not None:
            keep.add(feed)
        known = min(max(skip - done, 0), size)
        if known:
            passed += fingerprint_of_samples(sampling.part(feed, 0, known), sampling)
            if done + known == skip:
                table.check_data(passed % MODULUS)
        if known < size:
            _observe(session, sampling.part(feed, known, size), table, sampling, done + known)
        done += size
        if progress is not None:
            progress(done, feeds.samples)
    table.check_samples(done)
    return table


def started(into: CalibrationTable | None, tensors: Sequence[str], new: type[Observer], model: str) -> CalibrationTable:
    """`into`, ready for these tensors of the model with that fingerprint, or a new table."""
    table = CalibrationTable() if into is None else into
    if not table.samples:
        table.replace({name: new() for name in tensors})
        table.model = model
    table.check_model(model)
    if set(table) != set(tensors):
        raise TableMismatchError("the calibration table is of other tensors; were other nodes excluded?")
    if any(type(each) is not new for each in table.values()):
        raise TableMismatchError(f"the calibration table's observers are not the {new.__name__} that the method needs")
    return table


def _observe(session: Session, feed: Feed, table: CalibrationTable, sampling: Sampling, first: int) -> None:
    """Shows the table one batch, of which the first sample has that number: all of it or, interrupted, nothing."""
    size = sampling.count(feed)
    word = "sample" if sampling.by_rows else "item"
    observers = {name: copy.copy(observer) for name, observer in table.items()}

    def tap(name: str, array: NDArray[Any]) -> None:
        try:
            observers[name].update(array)
        except ValueError as error:
            raise SampleError(f"tensor {name!r}: {error},", *_samples(array, first, size), word) from error

    try:
        session.observe(feed, tap)
    except SampleError:
        raise
    except (ValueError, RuntimeError) as error:
        hint = "; an array is one item, unless it has one more axis in front than the input"
        if sampling.by_rows:
            hint = "; samples='items' if axis 0 doesn't count samples" if size > 1 else ""
        why = f": {error}{hint}"
        raise SampleError("the model can't run", first, first + size - 1, word, why) from error
    table.replace(observers, size, fingerprint_of_samples(feed, sampling))


def _samples(array: NDArray[Any], first: int, size: int) -> tuple[int, int]:
    """The first and the last sample of the batch that the NaN may be of, as far as the array's shape tells."""
    if array.ndim and len(array) == size:
        bad = np.isnan(array).reshape(size, -1).any(axis=1)
        return (first + int(np.argmax(bad)),) * 2
    return first, first + size - 1
