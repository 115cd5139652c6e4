"""The observers of a model's tensors, by name: what calibration leaves behind and conversion reads."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from zipfile import BadZipFile

import numpy as np

from ..atomic_file import write_atomically
from ..scheme import QuantParams, Scheme
from .fingerprint import MODULUS
from .histogram_observer import HistogramObserver
from .minmax import MinMaxObserver
from .moving_average_minmax import MovingAverageMinMaxObserver
from .observer import Observer

__all__ = ["OBSERVERS", "CalibrationTable", "TableMismatchError"]

OBSERVERS: dict[str, type[Observer]] = {
    "minmax": MinMaxObserver,
    "moving_average_minmax": MovingAverageMinMaxObserver,
    "histogram": HistogramObserver,
}


class TableMismatchError(ValueError):
    """A table is of another model, of other tensors or of other data than it is wanted for."""


class CalibrationTable(Mapping[str, Observer]):
    """Observers by tensor name, in the order they were added, and how many `samples` they saw. Tables merge as their
    observers do.

    `model` and `data` are fingerprints (fingerprint.py) of what was run and of these samples; "" and None where they
    aren't known: of a table made by hand, or saved by qkern 0.1 before it kept them.
    """

    def __init__(
        self, observers: Mapping[str, Observer] | Iterable[tuple[str, Observer]] = (), *, samples: int = 0
    ) -> None:
        self._observers = dict(observers)
        self.samples = samples
        self.model = ""
        self.data: int | None = None if samples else 0

    def __getitem__(self, name: str) -> Observer:
        return self._observers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._observers)

    def __len__(self) -> int:
        return len(self._observers)

    def __repr__(self) -> str:
        return f"CalibrationTable({len(self)} tensors)"

    def quant_params(self, name: str, scheme: Scheme, method: str) -> QuantParams:
        """Scale and zero point of the tensor `name` (per tensor), its range chosen by `method`.

        Raises KeyError for a tensor that wasn't observed, ValueError naming the tensor where nothing was seen of it or
        `method` is not one its observer knows.
        """
        try:
            return self._observers[name].quant_params(scheme, method)
        except ValueError as error:
            raise ValueError(f"tensor {name!r}: {error}") from error

    def replace(self, observers: Mapping[str, Observer], more: int = 0, data: int | None = 0) -> None:
        """Puts observers in the place of all of them, in one step: they saw `more` samples, whose fingerprint is
        `data`."""
        total = None if self.data is None or data is None else (self.data + data) % MODULUS
        self._observers, self.samples, self.data = dict(observers), self.samples + more, total

    def check_model(self, model: str) -> None:
        """Raises TableMismatchError where the table is of another model than that with this fingerprint."""
        if model and self.model and model != self.model:
            raise TableMismatchError(
                "the calibration table is of another model: other weights or nodes (channels that were equalized "
                "included), or made from the same file by another version of qkern"
            )

    def check_data(self, data: int) -> None:
        """Raises TableMismatchError where the table's samples are not those with this fingerprint."""
        if self.data is not None and data != self.data:
            raise TableMismatchError(f"the calibration table is of other data: its {self.samples} samples differ")

    def check_samples(self, samples: int) -> None:
        """Raises TableMismatchError where the table has seen more samples than there are."""
        if samples < self.samples:
            raise TableMismatchError(f"the calibration table has seen {self.samples} samples, of {samples} there are")

    def merge(self, other: CalibrationTable) -> None:
        """Adds everything `other` has seen, tensors that are new here included.

        Raises TypeError where a tensor's observers are of different classes, TableMismatchError where the tables are of
        different models; nothing is merged then.
        """
        self.check_model(other.model)
        for name, observer in other.items():
            own = type(self._observers.get(name, observer))
            if own is not type(observer):
                raise TypeError(f"tensor {name!r}: can't merge {type(observer).__name__} into {own.__name__}")
        for name, observer in other.items():
            if name not in self:
                self._observers[name] = type(observer)()
            self._observers[name].merge(observer)
        self.model = self.model or other.model
        self.replace(self._observers, other.samples, other.data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as .npz, in one step: a reader sees the old file or the new one. Raises OSError."""
        kinds = {cls: kind for kind, cls in OBSERVERS.items()}
        states = [observer.to_bytes() for observer in self.values()]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            samples=np.int64(self.samples),
            model=np.str_(self.model),
            data=np.str_("" if self.data is None else f"{self.data:032x}"),
            names=np.array(list(self), np.str_),
            kinds=np.array([kinds[type(observer)] for observer in self.values()], np.str_),
            sizes=np.array([len(state) for state in states], np.int64),
            states=np.frombuffer(b"".join(states), np.uint8),
        )
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CalibrationTable:
        """The table that `save` wrote. Raises OSError where `path` can't be read, ValueError for another file."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names, kinds, sizes, states = (arrays[key] for key in ("names", "kinds", "sizes", "states"))
                samples = int(arrays["samples"])
                model, seen = (str(arrays[key]) if key in arrays else "" for key in ("model", "data"))
            ends = np.cumsum(sizes)
            if not len(names) == len(kinds) == len(sizes) or states.size != sizes.sum() or (sizes < 0).any():
                raise ValueError("its arrays don't fit together")
            parts = zip(names, kinds, sizes, ends, strict=True)
            data = states.tobytes()
            observers = {
                str(name): OBSERVERS[str(kind)].from_bytes(data[end - size : end]) for name, kind, size, end in parts
            }
            table = cls(observers, samples=samples)
            table.model = model
            table.data = int(seen, 16) if seen else table.data
            return table
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a calibration table ({error})") from error
