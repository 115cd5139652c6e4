"""What is measured of a network: how far each contestant's outputs are from the float ones, and how long each takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray
from qkern.conversion.deviation import Deviation
from qkern.profiling.limits import LoopTimer
from qkern.timing import interleaved_timings

from ..contest import WrongAnswerError
from .contestants import OURS, Contestant, Ready
from .networks import Network, batches, first

__all__ = ["accuracy", "accuracy_of", "speed"]

Outputs = list[NDArray[Any]]
AT_ONCE = 20  # samples in a run at most, where only the results count
PAUSE = 0.03  # seconds before a sample of several threads: others' may still wait for work, spinning


def accuracy(network: Network, folder: Path, entering: Sequence[Contestant], threads: int) -> dict[str, Any]:
    """Rows of accuracy, and who was left out, with the reason. Raises WrongAnswerError where ours, on any tier or by
    any algorithm, doesn't give the same bytes for the same file."""
    outputs: dict[str, Outputs] = {}
    left_out = {}
    count = len(next(iter(network.held_out.values())))
    size = network.batch or max(size for size in range(1, AT_ONCE + 1) if count % size == 0)  # no part is smaller
    parts = list(batches(network.held_out, size))
    with qkern.isa.use(qkern.isa.active()):
        for each, ready in loaded(network, folder, entering, threads, size, left_out):
            results = [[np.array(output) for output in ready.run(part)] for part in parts]
            outputs[each.name] = [np.concatenate(arrays) for arrays in zip(*results, strict=True)]
    check_same_bytes(entering, outputs)
    return {"rows": accuracy_of(entering, outputs, network.labels), "left_out": left_out}


def check_same_bytes(entering: Sequence[Contestant], outputs: Mapping[str, Outputs]) -> None:
    ours: dict[str, Contestant] = {}
    for each in entering:
        if each.library == OURS:
            other = ours.setdefault(each.file, each)
            for one, two in zip(outputs[other.name], outputs[each.name], strict=True):
                if one.tobytes() != two.tobytes():
                    raise WrongAnswerError(f"{each.name} differs from {other.name}")


def accuracy_of(
    entering: Sequence[Contestant], outputs: Mapping[str, Outputs], labels: NDArray[Any] | None
) -> list[dict[str, Any]]:
    """A row for each whose outputs are there: SQNR and agreement with our float model's, top-1 where there are labels,
    and of one with a twin the share of numbers that differ from the twin's (`wrong_share`): what saturated."""
    [reference, *_] = [outputs[each.name] for each in entering if each.library == OURS and each.kind == "fp32"]
    rows = []
    for each in entering:
        if each.name not in outputs:
            continue
        found = outputs[each.name]
        deviation = Deviation()
        for one, two in zip(reference, found, strict=True):
            deviation.add(one, two)
        scores = found[0] if found[0].ndim == 2 else None
        twin = outputs.get(each.twin)
        differ = None if twin is None else [one != two for one, two in zip(found, twin, strict=True)]
        rows.append(
            {
                "contestant": each.name,
                "sqnr_db": deviation.sqnr_db if np.isfinite(deviation.sqnr_db) else None,
                "agreement": None if scores is None else share(scores.argmax(1) == reference[0].argmax(1)),
                "top1": None if scores is None or labels is None else share(scores.argmax(1) == labels),
                "wrong_share": None if differ is None else share(np.concatenate([part.ravel() for part in differ])),
            }
        )
    return rows


def share(which: NDArray[np.bool_]) -> float:
    return float(which.mean())


def speed(
    network: Network, folder: Path, entering: Sequence[Contestant], batch: int, threads: int, seconds: float
) -> dict[str, Any]:
    """Rows of times, all contestants in turn; of ours the packed bytes, and of ours by default what `run` costs beyond
    its steps and, where there are more threads, its time on one in the same rounds."""
    feeds = first(network.held_out, batch)
    with qkern.isa.use(qkern.isa.active()):
        ready = list(loaded(network, folder, entering, threads, batch, {}))
        defaults = [each for each, _ in ready if each.default] if threads > 1 else []
        alone = list(loaded(network, folder, defaults, 1, batch, {}))
        timings = interleaved_timings(
            [partial(model.run, feeds) for _, model in (*ready, *alone)],
            samples=41,
            seconds=seconds,
            pause=PAUSE if threads > 1 else 0.0,
            before=[each.choose_tier for each, _ in (*ready, *alone)],
        )
        on_one = {each.name: timing.median for (each, _), timing in zip(alone, timings[len(ready) :], strict=True)}
        rows = []
        for (each, model), timing in zip(ready, timings[: len(ready)], strict=True):
            row = {"model": network.name, "batch": batch, "threads": threads, "contestant": each.name}
            row |= {"seconds": timing.median, "low": timing.low, "high": timing.high, "samples": timing.samples}
            row |= {name: getattr(each, name) for name in ("library", "kind", "file", "option", "tier")}
            if model.session is not None:
                each.choose_tier()
                row["packed_bytes"] = model.session.packed_bytes
                if each.default:
                    profile = model.session.profile(feeds, seconds=seconds / 2)
                    row["overhead"] = profile.overhead
                    row["overhead_share"] = profile.overhead / profile.elapsed
                    row["steps"] = len(profile.steps)
                    row["one_thread"] = on_one.get(each.name)
            rows.append(row)
    tiers = list(dict.fromkeys(each.tier for each in entering if each.tier))
    return {"rows": rows, "peak_gain": peak_gains(tiers, threads) if threads > 1 else {}}


def loaded(
    network: Network,
    folder: Path,
    entering: Sequence[Contestant],
    threads: int,
    batch: int,
    left_out: dict[str, str],
) -> Iterator[tuple[Contestant, Ready]]:
    """Each made ready; a peer that can't run its model is left out, with the reason."""
    for each in entering:
        try:
            ready = each.load(network, folder, threads, batch)
        except Exception as error:  # whatever a version of others lacks
            if each.library == OURS:
                raise
            left_out[each.name] = f"{type(error).__name__}: {error}".partition("\n")[0]
            continue
        each.choose_tier()
        yield each, ready


def peak_gains(tiers: Sequence[str], threads: int) -> dict[str, float]:
    """What `threads` threads bring to the int8 register loop of each tier."""
    rates: list[dict[tuple[str, str], float]] = []
    before = qkern.get_num_threads()
    for count in (1, threads):
        qkern.set_num_threads(count)
        loops = LoopTimer(tiers)
        for _ in range(9):
            loops.time()
        rates.append(loops.peaks())
    qkern.set_num_threads(before)
    return {tier: rates[1][tier, "int8"] / rates[0][tier, "int8"] for tier in tiers}
