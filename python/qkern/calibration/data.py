"""Data for calibration and comparison, whatever it comes in -> feeds `{input name: array}`, a batch at a time."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from ..runtime.signature import InputSpec
from .sampling import Feed, Sampling

__all__ = ["Arrays", "Data", "Feed", "Feeds", "NoSamplesError", "SampleError", "is_partitioned"]

Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
Data: TypeAlias = Union[str, "os.PathLike[str]", Arrays, Iterable[Arrays]]

_MOST_SAMPLES = 8  # in a batch: enough to fill the cores, little enough to stay in the caches


class SampleError(ValueError):
    """Something is wrong with the samples numbered `first` to `last`; the message is `what`, these numbers and `why`.
    `word` is what a sample is called."""

    def __init__(self, what: str, first: int, last: int, word: str = "sample", why: str = "") -> None:
        super().__init__(what, first, last, word, why)  # what pickle calls it with
        self.what, self.first, self.last, self.word, self.why = what, first, last, word, why

    def __str__(self) -> str:
        numbers = f" {self.first}" if self.first == self.last else f"s {self.first} to {self.last}"
        return f"{self.what} {self.word}{numbers}{self.why}"

    def shifted(self, by: int) -> SampleError:
        """The same, with samples counted from so many earlier."""
        return SampleError(self.what, self.first + by, self.last + by, self.word, self.why)


class NoSamplesError(ValueError):
    """The data came to its end without a single sample."""


class Feeds:
    """Iterates over feeds of at most `batch` samples; `samples` is their number, or None where only the end will tell.

    `source` is one of

    - an array, or a mapping from input names to arrays (others in it are not read);
    - an iterable of arrays or mappings like these, its items. An iterator goes once;
    - a path: an .npy (memory-mapped), an .npz (read as a mapping, or as an array where it holds one and the model has
      one input), or a folder of these, read in the order of their names.

    By rows, arrays hold samples along axis 0, or are one sample where they have one dimension less than the input. By
    items, arrays of the inputs' ranks are one item, and with one more axis in front a stack of items; a size of axis 0
    that the inputs fix may be a multiple of it.

    Arrays have to have the input's dtype and shape. ValueError, here or while iterating, names the item and the input
    that is wrong (and for NaN the sample), or says "no calibration data" (`what` it is) where there is none;
    FileNotFoundError names a missing path.
    """

    def __init__(
        self, source: Data, sampling: Sampling, *, batch: int = _MOST_SAMPLES, what: str = "calibration data"
    ) -> None:
        if not sampling.inputs:
            raise ValueError("the model has no inputs to feed")
        for spec in sampling.inputs:
            if spec.within:
                raise ValueError(f"input {spec.name!r} takes {spec.describe()}; {what} can only be arrays")
        self._sampling = sampling
        self._batch = batch
        self._what = what
        self._parts, self.samples = self._open(source)

    def __iter__(self) -> Iterator[Feed]:
        done = 0
        for place, part in self._parts:
            feed = self._as_feed(part, place)
            count = _length(feed)
            if self._sampling.by_rows:
                step = self._step(count, place)
                starts = range(0, count, step)
                runs = ({n: a[start : start + step] if a.ndim else a for n, a in feed.items()} for start in starts)
            else:
                runs = ({name: array[item] for name, array in feed.items()} for item in range(count))
            for run in runs:
                batch = {name: np.ascontiguousarray(array) if array.ndim else array for name, array in run.items()}
                self._refuse_nan(batch, done, place)
                yield batch
                done += self._sampling.count(batch)
        if done == 0:
            raise NoSamplesError(f"no {self._what}")

    def _open(self, source: Data) -> tuple[Iterable[tuple[str, Any]], int | None]:
        """The parts to go through, each with its place as errors name it, and how many samples they hold if that is
        cheap to know."""
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file or folder")
            if path.is_dir():
                files = sorted(file for file in path.iterdir() if file.suffix in {".npy", ".npz"})
                if not files:
                    raise ValueError(f"no {self._what}: {path} holds no .npy or .npz file")
                return _Again(lambda: ((f"{file}: ", _read(file)) for file in files)), None
            part = _read(path)
            return [("", part)], _length(self._as_feed(part, ""))
        if isinstance(source, Mapping) or hasattr(source, "__array__"):
            return [("", source)], _length(self._as_feed(source, ""))
        if not isinstance(source, Iterable):
            name = type(source).__name__
            raise TypeError(f"data: expected a path, an array, a mapping or an iterable of these, not {name}")
        parts = _Again(lambda: ((f"item {number}: ", part) for number, part in enumerate(source)))
        if isinstance(source, Sequence):
            return parts, sum(_length(self._as_feed(part, place)) for place, part in parts)
        return parts, None

    def _as_feed(self, part: Any, place: str) -> Feed:
        """Every input's array, with an axis of rows or of items in front."""
        inputs = self._sampling.inputs
        if isinstance(part, Mapping):
            feed = {}
            for spec in inputs:
                if spec.name in part:
                    feed[spec.name] = self._fitted(part[spec.name], spec, place)
                elif len(inputs) == len(part) == 1:
                    feed[spec.name] = self._fitted(next(iter(part.values())), spec, place)
                else:
                    names = ", ".join(map(repr, part)) or "nothing"
                    raise ValueError(f"{place}the data has no array for input {spec.name!r}, only {names}")
        else:
            _refuse_what_is_no_item(part, inputs, place)
            if len(inputs) > 1:
                names = ", ".join(repr(spec.name) for spec in inputs)
                raise ValueError(f"{place}the model has {len(inputs)} inputs ({names}): the data has to name them")
            feed = {inputs[0].name: self._fitted(part, inputs[0], place)}
        counts = {name: len(array) for name, array in feed.items() if array.ndim}
        if len(set(counts.values())) > 1:
            numbers = ", ".join(f"{name!r} {count}" for name, count in counts.items())
            what = "samples" if self._sampling.by_rows else "items"
            raise ValueError(f"{place}the inputs have different numbers of {what}: {numbers}")
        return feed

    def _fitted(self, given: Any, spec: InputSpec, place: str) -> NDArray[Any]:
        """`given` with an axis of rows or of items in front. Raises ValueError where it hasn't the dtype or the shape
        of the input."""
        try:
            array = np.asarray(given)
        except Exception as error:  # whatever a tensor or a ragged list raises, the data is at fault
            name = type(given).__name__
            raise ValueError(f"{place}input {spec.name!r}: NumPy can't make an array of a {name} ({error})") from error
        stack = _by_rows(array, spec) if self._sampling.by_rows else _by_items(array, spec, self._sampling.batch)
        if array.dtype != spec.dtype or stack is None:
            takes = spec.describe()
            if array.dtype == spec.dtype and not self._sampling.by_rows:
                takes += ", or items of that stacked along an axis in front"
            raise ValueError(f"{place}input {spec.name!r} takes {takes}, not {array.dtype} {list(array.shape)}")
        return stack

    def _step(self, count: int, place: str) -> int:
        size = self._sampling.batch
        if size is None:
            return self._batch
        if size == 0 or count % size:
            name = next(spec.name for spec in self._sampling.inputs if spec.shape and spec.shape[0] == size)
            raise ValueError(f"{place}input {name!r} takes batches of {size}, which {count} samples don't divide into")
        return size

    def _refuse_nan(self, batch: Feed, start: int, place: str) -> None:
        for name, array in batch.items():
            if array.dtype.kind == "f" and np.isnan(array).any():
                if not self._sampling.by_rows:
                    raise SampleError(f"input {name!r}: NaN in", start, start, "item")
                rows = np.isnan(array).reshape(self._sampling.count(batch), -1) if array.ndim else np.ones((1, 1), bool)
                index = start + int(np.argmax(rows.any(axis=1)))
                raise SampleError(f"{place}input {name!r}: NaN in", index, index)


class _Again:
    """What `make` gives, as often as it is asked for."""

    def __init__(self, make: Callable[[], Iterator[tuple[str, Any]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._make()


def is_partitioned(source: Any) -> bool:
    """Whether `source` is a Dask collection or a list with one in it. Dask is not imported for the answer."""
    return any(
        type(each).__module__.partition(".")[0] == "dask" and hasattr(type(each), "__dask_graph__")
        for each in (source if isinstance(source, (list, tuple)) else [source])
    )


def _length(feed: Feed) -> int:
    """Rows or items in `feed`; by rows, inputs without any axis are one."""
    return next((len(array) for array in feed.values() if array.ndim), 1)


def _refuse_what_is_no_item(part: Any, inputs: Sequence[InputSpec], place: str) -> None:
    """Raises ValueError for what isn't an array, nor a list of numbers to make one of."""
    hint = ""
    if isinstance(part, (tuple, list)):
        if all(isinstance(each, (bool, int, float, list, tuple, np.generic)) for each in part):
            return
        held = ", ".join(_described(each) for each in part[:4]) + (", ..." if len(part) > 4 else "")
        found = f"a {type(part).__name__} of length {len(part)} ({held})"
        first = "(x for x, _ in loader)" if len(part) == 2 else "(item[0] for item in loader)"
        hint = f"; where a data loader gives more than the input, take that: {first}"
    elif part is None or isinstance(part, (bool, int, float, complex, str, bytes, set, np.str_)):
        found = _described(part)
    else:
        return
    takes = "an array" if len(inputs) == 1 else "arrays"
    names = " and ".join(f"{spec.name!r} ({spec.describe()})" for spec in inputs)
    it = place.rstrip(": ") or "data"
    raise ValueError(
        f"{it} is {found}, and should be {takes} for {names}, or a mapping from input names to arrays{hint}"
    )


def _described(thing: Any) -> str:
    if thing is None:
        return "None"
    shape = getattr(thing, "shape", None)
    size = f" of length {len(thing)}" if isinstance(thing, (list, tuple, dict)) else ""
    kind = type(thing).__name__
    return f"{kind} {thing.dtype} {list(shape)}" if shape is not None and hasattr(thing, "dtype") else f"a {kind}{size}"


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


def _by_rows(array: NDArray[Any], spec: InputSpec) -> NDArray[Any] | None:
    """`array` [rows, ...]; None where the input doesn't take it."""
    if spec.shape is None:
        return array
    if array.ndim == len(spec.shape) - 1:
        array = array[np.newaxis]
    return array if _match(spec.shape[:1] and (None, *spec.shape[1:]), array.shape) else None


def _by_items(array: NDArray[Any], spec: InputSpec, batch: int | None) -> NDArray[Any] | None:
    """`array` [items, ...]; None where the input doesn't take it. `batch`: rows per item, which may be many times as
    many."""
    shape = spec.shape
    if shape is None or _match(shape, array.shape):
        return array[np.newaxis]
    if _match((None, *shape), array.shape):
        return array
    if not shape:
        return None
    if shape[0] in (None, 1) and _match(shape[1:], array.shape):
        return array[np.newaxis, np.newaxis]
    if batch is not None and _match((None, *shape[1:]), array.shape) and len(array) % batch == 0:
        return array.reshape(len(array) // batch, batch, *array.shape[1:])
    return None


def _match(wanted: Sequence[int | None], shape: Sequence[int]) -> bool:
    return len(wanted) == len(shape) and all(want in (None, got) for want, got in zip(wanted, shape, strict=True))
