"""Data for calibration and comparison, whatever it comes in -> feeds `{input name: array}`, a batch at a time."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from ..runtime.signature import InputSpec

__all__ = ["Arrays", "Data", "Feed", "Feeds", "NoSamplesError", "SampleError", "is_partitioned", "samples_in"]

Feed: TypeAlias = "dict[str, NDArray[Any]]"
Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
Data: TypeAlias = Union[str, "os.PathLike[str]", Arrays, Iterable[Arrays]]

_MOST_SAMPLES = 8  # in a batch: enough to fill the cores, little enough to stay in the caches


class SampleError(ValueError):
    """Something is wrong with the samples numbered `first` to `last`; the message is `what` and these numbers."""

    def __init__(self, what: str, first: int, last: int) -> None:
        super().__init__(what, first, last)  # what pickle calls it with
        self.what, self.first, self.last = what, first, last

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{self.what} sample {self.first}"
        return f"{self.what} samples {self.first} to {self.last}"


class NoSamplesError(ValueError):
    """The data came to its end without a single sample."""


class Feeds:
    """Iterates over feeds of at most `batch` samples; `samples` is their number, or None where only the end will tell.

    `source` is one of

    - an array, or a mapping from input names to arrays (others in it are not read): samples along axis 0, or one sample
      where the array has one dimension less than the input;
    - an iterable of arrays or mappings like these. An iterator goes once;
    - a path: an .npy (memory-mapped), an .npz (read as a mapping, or as an array where it holds one and the model has
      one input), or a folder of these, read in the order of their names.

    Arrays have to have the input's dtype and shape. ValueError, here or while iterating, names the input that is wrong
    (and for NaN the sample), or says "no calibration data" (`what` it is) where there is none; FileNotFoundError names
    a missing path.
    """

    def __init__(
        self, source: Data, inputs: Sequence[InputSpec], *, batch: int = _MOST_SAMPLES, what: str = "calibration data"
    ) -> None:
        if not inputs:
            raise ValueError("the model has no inputs to feed")
        for spec in inputs:
            if spec.within:
                raise ValueError(f"input {spec.name!r} takes {spec.describe()}; {what} can only be arrays")
        self._inputs = list(inputs)
        self._batch = batch
        self._what = what
        self._parts, self.samples = self._open(source)

    def __iter__(self) -> Iterator[Feed]:
        done = 0
        for part in self._parts:
            feed = self._as_feed(part)
            count = samples_in(feed)
            step = self._step(count)
            for start in range(0, count, step):
                batch = {
                    name: np.ascontiguousarray(array[start : start + step]) if array.ndim else array
                    for name, array in feed.items()
                }
                _refuse_nan(batch, done + start)
                yield batch
            done += count
        if done == 0:
            raise NoSamplesError(f"no {self._what}")

    def _open(self, source: Data) -> tuple[Iterable[Any], int | None]:
        """The parts to go through, and how many samples they hold if that is cheap to know."""
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file or folder")
            if path.is_dir():
                files = sorted(file for file in path.iterdir() if file.suffix in {".npy", ".npz"})
                if not files:
                    raise ValueError(f"no {self._what}: {path} holds no .npy or .npz file")
                return _Files(files), None
            part = _read(path)
            return [part], samples_in(self._as_feed(part))
        if isinstance(source, (np.ndarray, Mapping)):
            return [source], samples_in(self._as_feed(source))
        if not isinstance(source, Iterable):
            name = type(source).__name__
            raise TypeError(f"data: expected a path, an array, a mapping or an iterable of these, not {name}")
        if isinstance(source, Sequence):
            return source, sum(samples_in(self._as_feed(part)) for part in source)
        return source, None

    def _as_feed(self, part: Any) -> Feed:
        """Every input's array with its sample axis."""
        if isinstance(part, Mapping):
            feed = {}
            for spec in self._inputs:
                if spec.name in part:
                    feed[spec.name] = _fitted(part[spec.name], spec)
                elif len(self._inputs) == len(part) == 1:
                    feed[spec.name] = _fitted(next(iter(part.values())), spec)
                else:
                    names = ", ".join(map(repr, part)) or "nothing"
                    raise ValueError(f"the data has no array for input {spec.name!r}, only {names}")
        elif len(self._inputs) == 1:
            feed = {self._inputs[0].name: _fitted(part, self._inputs[0])}
        else:
            names = ", ".join(repr(spec.name) for spec in self._inputs)
            raise ValueError(f"the model has {len(self._inputs)} inputs ({names}): the data has to name them")
        counts = {name: len(array) for name, array in feed.items() if array.ndim}
        if len(set(counts.values())) > 1:
            numbers = ", ".join(f"{name!r} {count}" for name, count in counts.items())
            raise ValueError(f"the inputs have different numbers of samples: {numbers}")
        return feed

    def _step(self, count: int) -> int:
        fixed = {spec.name: spec.shape[0] for spec in self._inputs if spec.shape and spec.shape[0] is not None}
        if not fixed:
            return self._batch
        name, size = next(iter(fixed.items()))
        if count % size:
            raise ValueError(f"input {name!r} takes batches of {size}, which {count} samples don't divide into")
        return size


class _Files:
    """The arrays of a folder, one file after the other."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __iter__(self) -> Iterator[Any]:
        return map(_read, self._files)


def is_partitioned(source: Any) -> bool:
    """Whether `source` is a Dask collection or a list with one in it. Dask is not imported for the answer."""
    return any(
        type(each).__module__.partition(".")[0] == "dask" and hasattr(type(each), "__dask_graph__")
        for each in (source if isinstance(source, (list, tuple)) else [source])
    )


def samples_in(feed: Feed) -> int:
    """Samples in `feed`; an input without any axis is one."""
    return next((len(array) for array in feed.values() if array.ndim), 1)


def _refuse_nan(batch: Feed, start: int) -> None:
    for name, array in batch.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            index = int(np.argmax(np.isnan(array).reshape(samples_in(batch), -1).any(axis=1)))
            raise SampleError(f"input {name!r}: NaN in", start + index, start + index)


def _read(path: Path) -> Any:
    """What an .npy or .npz holds: an array or a dict of arrays. Raises ValueError naming a file that holds neither."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a NumPy file ({error})") from error


def _fitted(part: Any, spec: InputSpec) -> NDArray[Any]:
    """`part` with a sample axis. Raises ValueError where it hasn't the dtype or the shape of the input."""
    array = np.asarray(part)
    shape = spec.shape
    if shape is not None and array.ndim == len(shape) - 1:
        array = array[np.newaxis]
    fits = shape is None or (
        array.ndim == len(shape)
        and all(want in (None, got) for want, got in zip(shape[1:], array.shape[1:], strict=True))
    )
    if array.dtype != spec.dtype or not fits:
        raise ValueError(f"input {spec.name!r} takes {spec.describe()}, not {array.dtype} {list(np.shape(part))}")
    return array
