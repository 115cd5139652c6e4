"""The networks that are measured, and the samples they are calibrated and compared on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray

from .. import accuracy

__all__ = ["DEMO", "KNOWN", "RANDOM", "Feeds", "Network", "batches", "first", "from_file", "known"]

Feeds = dict[str, NDArray[Any]]

DEMO = "fashion_mnist"
KNOWN = (*(case.name for case in accuracy.CASES), DEMO)
RANDOM, RANDOM_CALIBRATION, RANDOM_HELD_OUT = "random numbers", 8, 32


@dataclass(frozen=True)
class Network:
    """A float model; what to calibrate on and what to compare on, by input name, samples along axis 0.

    `samples` says what these are; `labels` are the classes of `held_out`, where there are any. `batch`: the only one
    that the model takes, or None.
    """

    name: str
    path: Path
    samples: str
    calibration: Feeds
    held_out: Feeds
    labels: NDArray[np.integer[Any]] | None = None
    batch: int | None = None


def known(name: str, images: int) -> Network | str:
    """One of KNOWN, to be compared on so many images that it isn't calibrated on, evenly spaced; why not, where its
    files aren't there."""
    if name == DEMO:
        from qkern.demo import data

        found = data.load()
        few = spread(len(found.test), images)
        return Network(
            name,
            data.model_path(),
            f"{len(few)} test images of Fashion-MNIST",
            {"image": found.calibration},
            {"image": found.test[few]},
            found.labels[few],
        )
    [case] = [case for case in accuracy.CASES if case.name == name]
    if why := accuracy.missing(case):
        return why
    every, labels = accuracy.load(case)
    for_calibration, held_out = accuracy.split(len(every))
    few = held_out[spread(len(held_out), images)]
    [spec] = qkern.Session(accuracy.SHARED / case.model).get_inputs()
    return Network(
        name,
        accuracy.SHARED / case.model,
        f"{len(few)} images of {case.images.partition('/')[2].partition('_')[0]} that weren't calibrated on",
        {spec.name: every[for_calibration]},
        {spec.name: every[few]},
        labels[few],
    )


def from_file(path: Path) -> Network:
    """Any model, on random numbers: sizes that vary are 1, but for the samples. Raises ValueError for inputs other than
    float32 arrays of a known rank."""
    rng = np.random.default_rng(0)
    specs = qkern.Session(path).get_inputs()
    for spec in specs:
        if not spec.shape or spec.dtype != np.float32:
            raise ValueError(f"{path.name}: input {spec.name!r} takes {spec.describe()}: random numbers are float32")
    shapes = {spec.name: tuple(spec.shape or ()) for spec in specs}
    batch = next((shape[0] for shape in shapes.values() if shape[0] is not None), None)

    def samples(least: int) -> Feeds:
        rows = -(-least // (batch or 1)) * (batch or 1)
        return {
            name: rng.standard_normal((rows, *(size or 1 for size in shape[1:])), np.float32)
            for name, shape in shapes.items()
        }

    return Network(path.stem, path, RANDOM, samples(RANDOM_CALIBRATION), samples(RANDOM_HELD_OUT), batch=batch)


def spread(count: int, most: int) -> NDArray[np.intp]:
    """Up to `most` indices below `count`, evenly spaced."""
    few = min(count, most)
    return np.arange(few) * count // few


def batches(feeds: Feeds, size: int) -> Iterator[Feeds]:
    """The samples, so many at a time; the last ones may be fewer."""
    count = len(next(iter(feeds.values())))
    for begin in range(0, count, size):
        yield {name: array[begin : begin + size] for name, array in feeds.items()}


def first(feeds: Feeds, size: int) -> Feeds:
    """The first `size` samples, again from the beginning where there are fewer."""
    return {name: np.ascontiguousarray(array[np.arange(size) % len(array)]) for name, array in feeds.items()}
