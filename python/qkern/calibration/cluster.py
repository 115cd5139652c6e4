"""Calibration on a cluster: Dask runs the float model over the partitions, the observers come back and merge.

    table = partition 1 + partition 2 + ...        (+ is Observer.merge, exact and in any order the same)

A task is one partition: it gets the model as bytes, runs it over the samples, and gives back `Observer.to_bytes` of
each tensor. Tasks are handed out a window at a time; those of a window merge in a tree on the workers, and what is
left, one table, is added here. So nobody holds more than the tables of one window, a worker that dies costs what it had
of that window, and after every window the table is that of a prefix of the data, which can be saved and resumed.

Samples that are kept for later have to be those that one process would have kept. Which these are depends on how
many samples there are before each of them: the tasks tell the sizes of their samples, the choice (`EvenSpread`) is made
here, and a second pass fetches what was chosen, without running the model.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model_file import load_model, serialize
from .data import Feeds, NoSamplesError, SampleError
from .fingerprint import MODULUS, fingerprint_of_model
from .observer import Observer
from .samples import EvenSpread, KeptSamples, SampleSizes, units_of
from .sampling import Feed, Sampling
from .stream import Progress, calibrate_stream, started
from .table import CalibrationTable

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.foreign_nodes import Fallback

__all__ = ["calibrate_partitions"]

_FAN_IN = 8  # tables that one task merges
_TASKS_PER_THREAD = 8  # in a window: workers idle at its end for less than a task's time, so for a few percent
_LEAST_TASKS = 32


@dataclass(frozen=True)
class _Job:
    """What is the same for every partition."""

    tensors: tuple[str, ...]
    observer: type[Observer]
    num_threads: int
    fallback: Fallback
    samples: str
    cut: bool


@dataclass(frozen=True)
class _Seen:
    """What neighbouring partitions held: observers as bytes, fingerprints of the samples that were passed over and of
    those observed, and per partition the number of samples and the sizes of their units. `error` ended the last of the
    partitions; it numbers samples from the first one's first."""

    states: list[bytes]
    passed: int
    data: int
    counts: list[int]
    runs: list[list[tuple[int, int]]]
    error: ValueError | None


class _PartOfTable(CalibrationTable):
    """That of one partition: `passed` is the fingerprint of the samples that an earlier run has seen. Whether they are
    the same only all partitions together tell."""

    def __init__(self, observers: Iterable[tuple[str, Observer]], *, samples: int) -> None:
        super().__init__(observers, samples=samples)
        self.data, self.passed = 0, 0

    def check_data(self, data: int) -> None:
        self.passed = data


def calibrate_partitions(
    model: ir.Model,
    data: Any,
    tensors: Sequence[str],
    *,
    observer: type[Observer],
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    progress: Progress | None = None,
    keep: KeptSamples | None = None,
    into: CalibrationTable | None = None,
    samples: str | None = None,
) -> CalibrationTable:
    """`calibrate` for a Dask bag, a delayed value or a list of these: the same table, the same kept samples, the same
    errors.

    An element of a bag is what an iterable may give to `calibrate`; a delayed value is data in any of its forms. Both
    have to be the same whenever they are computed: what a lost worker had is computed again. Runs where Dask is set to
    run things (the current `distributed.Client`, else `dask.config`), a partition on `num_threads` threads (None: one,
    since partitions run side by side). `progress` is called as windows of partitions are done. `keep` has to be empty.

    Raises ValueError where observers of this class don't merge, and as `calibrate` does; what loading the data raises
    passes through.
    """
    if not observer.mergeable:
        raise ValueError(
            f"{observer.__name__} depends on the order of the batches, so it can't be spread over partitions: choose "
            "another method, or give the data to one process"
        )
    import dask

    parts = _delayed_parts(data)
    sampling = Sampling.of(model, samples)
    table = started(into, tensors, observer, fingerprint_of_model(model))
    skip, passed = table.samples, 0
    cut = sampling.divisible and (keep is None or keep.cut)
    job = _Job(tuple(tensors), observer, num_threads or 1, fallback, sampling.samples, cut)
    network = dask.delayed(serialize(model), traverse=False)
    chosen: EvenSpread[tuple[int, int]] | None = None if keep is None else EvenSpread(keep.limit)
    done = start = 0
    if progress is not None:
        progress(0, None)
    while start < len(parts):
        window = parts[start : start + _window()]
        skips = [0] * len(window) if done >= skip else _skips(skip - done, _counts(window, sampling))
        seen = _compute([_tree(network, window, skips, job)])[0]
        if seen.error is not None:
            raise _placed(seen.error, done, start + len(seen.counts) - 1)
        passed += seen.passed
        if done < skip <= done + sum(seen.counts):
            table.check_data(passed % MODULUS)
        done += sum(seen.counts)
        merged = [observer.from_bytes(state) for state in seen.states]
        for own, name in zip(merged, tensors, strict=True):
            own.merge(table[name])
        table.replace(dict(zip(tensors, merged, strict=True)), max(done - table.samples, 0), seen.data)
        if chosen is not None:
            _choose(chosen, start, seen.runs)
        start += len(window)
        if progress is not None:
            progress(done, None)
    if done == 0:
        raise NoSamplesError("no calibration data")
    table.check_samples(done)
    if keep is not None and chosen is not None:
        keep.cut = cut
        keep.replace(_fetched(parts, chosen.kept, sampling, cut))
    return table


def _delayed_parts(data: Any) -> list[Any]:
    """The partitions of `data` in order, as delayed values."""
    from dask.bag import Bag
    from dask.delayed import Delayed

    parts: list[Any] = []
    for each in data if isinstance(data, (list, tuple)) else [data]:
        if isinstance(each, Bag):
            parts.extend(each.to_delayed())
        elif isinstance(each, Delayed):
            parts.append(each)
        else:
            raise TypeError(f"data: partitions are a Dask bag or delayed values, not {type(each).__name__}")
    return parts


def _window() -> int:
    """How many partitions to hand out at once, for the threads there are now."""
    threads = os.cpu_count() or 1
    if "distributed" in sys.modules:
        from distributed import default_client

        with suppress(ValueError):  # there is no client
            threads = sum(default_client().nthreads().values())
    return max(_TASKS_PER_THREAD * threads, _LEAST_TASKS)


def _compute(values: Sequence[Any]) -> list[Any]:
    import dask

    with warnings.catch_warnings():
        # The network goes with the tasks, so that it outlives any worker.
        warnings.filterwarnings("ignore", message="Sending large graph")
        return list(dask.compute(*values))


def _tree(network: Any, window: Sequence[Any], skips: Sequence[int], job: _Job) -> Any:
    """The delayed `_Seen` of the whole window."""
    import dask

    observed, joined = dask.delayed(_observed), dask.delayed(_joined)
    level = [observed(network, part, skip, job) for part, skip in zip(window, skips, strict=True)]
    while len(level) > 1:
        level = [joined(level[i : i + _FAN_IN], job) for i in range(0, len(level), _FAN_IN)]
    return level[0]


def _observed(network: bytes, part: Any, skip: int, job: _Job) -> _Seen:
    """What a task gives back for a partition, of which `skip` samples were seen before."""
    sizes, error = SampleSizes(cut=job.cut), None
    table = _PartOfTable(((name, job.observer()) for name in job.tensors), samples=skip)
    try:
        calibrate_stream(
            load_model(network),
            part,
            job.tensors,
            observer=job.observer,
            num_threads=job.num_threads,
            fallback=job.fallback,
            keep=sizes,
            into=table,
            samples=job.samples,
        )
    except NoSamplesError:
        pass
    except ValueError as found:
        error = found if isinstance(found, SampleError) else ValueError(str(found))
    states = [each.to_bytes() for each in table.values()]
    return _Seen(states, table.passed, table.data or 0, [table.samples], [sizes.runs], error)


def _joined(parts: Sequence[_Seen], job: _Job) -> _Seen:
    """The parts, neighbours in order, as one: up to the first with an error."""
    whole = [job.observer.from_bytes(state) for state in parts[0].states]
    counts, runs = list(parts[0].counts), list(parts[0].runs)
    passed, data, error = parts[0].passed, parts[0].data, parts[0].error
    for part in parts[1:]:
        if error is not None:
            break
        for own, state in zip(whole, part.states, strict=True):
            own.merge(job.observer.from_bytes(state))
        if part.error is not None:
            error = _shifted(part.error, sum(counts))
        passed, data = (passed + part.passed) % MODULUS, (data + part.data) % MODULUS
        counts += part.counts
        runs += part.runs
    return _Seen([each.to_bytes() for each in whole], passed, data, counts, runs, error)


def _shifted(error: ValueError, by: int) -> ValueError:
    return error.shifted(by) if isinstance(error, SampleError) else error


def _placed(error: ValueError, by: int, partition: int) -> ValueError:
    """`error` of a partition as one of the whole data: sample numbers count from its start, items' don't."""
    return error.shifted(by) if isinstance(error, SampleError) else ValueError(f"partition {partition}: {error}")


def _counts(window: Sequence[Any], sampling: Sampling) -> list[int]:
    import dask

    return _compute([dask.delayed(_count)(part, sampling) for part in window])


def _count(part: Any, sampling: Sampling) -> int:
    """Samples in a partition; of one with an error, those before it."""
    done = 0
    with suppress(ValueError):
        for feed in Feeds(part, sampling):
            done += sampling.count(feed)
    return done


def _skips(samples: int, counts: Sequence[int]) -> list[int]:
    """How many of each partition's samples are among the first so many."""
    starts = (sum(counts[:i]) for i in range(len(counts)))
    return [min(max(samples - start, 0), count) for start, count in zip(starts, counts, strict=True)]


def _choose(chosen: EvenSpread[tuple[int, int]], first: int, runs: Sequence[Sequence[tuple[int, int]]]) -> None:
    """Offers every unit of the partitions from number `first` on, as (partition, place in it)."""
    for number, partition in enumerate(runs, first):
        place = 0
        for count, size in partition:
            for _ in range(count):
                chosen.offer(size, lambda: (number, place))  # noqa: B023
                place += 1


def _fetched(parts: Sequence[Any], chosen: Sequence[tuple[int, int]], sampling: Sampling, cut: bool) -> Iterator[Feed]:
    """The chosen units, in order."""
    import dask

    places: dict[int, list[int]] = {}
    for number, place in chosen:
        places.setdefault(number, []).append(place)
    tasks = [dask.delayed(_picked)(parts[number], own, sampling, cut) for number, own in places.items()]
    for units in _compute(tasks):
        yield from units


def _picked(part: Any, places: Sequence[int], sampling: Sampling, cut: bool) -> list[Feed]:
    """Copies of the units at `places` (rising) of a partition."""
    wanted, found = set(places), []
    units = (unit for feed in Feeds(part, sampling) for unit in units_of(feed, cut))
    for place, unit in enumerate(units):
        if place in wanted:
            found.append({name: np.array(array) for name, array in unit.items()})
            if len(found) == len(places):
                break
    return found
