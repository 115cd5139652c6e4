"""Runs the float model over data in this process and lets an observer see every tensor that is going to be 8-bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..runtime.session import Session
from .data import Data, Feeds, SampleError
from .fingerprint import MODULUS, fingerprint_of_model, fingerprint_of_samples
from .observer import Observer
from .samples import KeptSamples, SampleSizes
from .sampling import Feed, Sampling
from .table import CalibrationTable, TableMismatchError

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.foreign_nodes import Fallback

__all__ = ["Progress", "calibrate_stream", "started"]

Progress: TypeAlias = "Callable[[int, int | None], object]"


def calibrate_stream(
    model: ir.Model,
    data: Data,
    tensors: Sequence[str],
    *,
    observer: type[Observer],
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    progress: Progress | None = None,
    keep: KeptSamples | SampleSizes | None = None,
    into: CalibrationTable | None = None,
    samples: str | None = None,
) -> CalibrationTable:
    """`calibrate` (calibrate.py) for data that this process reads; `keep` may want the sizes of samples only."""
    sampling = Sampling.of(model, samples)
    feeds = Feeds(data, sampling)
    table = started(into, tensors, observer, fingerprint_of_model(model))
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
