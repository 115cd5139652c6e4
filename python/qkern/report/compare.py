"""Two models side by side on the same data: how far the outputs are apart, and how long each takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import get_num_threads, isa
from ..calibration import Feeds, Sampling
from ..conversion.deviation import Deviation
from ..model_file import Folder, ModelSource, load_model, model_bytes
from ..runtime.signature import InputSpec, input_specs
from ..timing import interleaved_timings

if TYPE_CHECKING:
    from ..calibration.data import Data, Feed
    from ..calibration.stream import Progress
    from ..runtime.foreign_nodes import Fallback
    from ..runtime.session import Session

__all__ = ["Comparison", "compare", "steps_left_float"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` measured. Shares are 0 to 1, latencies seconds, sizes bytes.

    `top1_float`, `top1_int8`: share of samples whose highest score is the label's (None without labels).
    `agreement`: share of samples for which both models have the same highest score (None where the first output is not
    [samples, classes]).
    `sqnr_db`: 10 log10(sum f² / sum (f - q)²) over all outputs, infinite where they are equal; `cosine` of the angle
    between them.
    `latency_float`, `latency_int8`: median of runs with one sample, both models in turn.
    `left_float`: names of the int8 model's steps that run in float.
    """

    samples: int
    top1_float: float | None
    top1_int8: float | None
    agreement: float | None
    sqnr_db: float
    cosine: float
    latency_float: float
    latency_int8: float
    size_float: int
    size_int8: int
    tier: str
    num_threads: int
    left_float: tuple[str, ...]

    @property
    def speedup(self) -> float:
        """How many times as fast the int8 model is."""
        return self.latency_float / self.latency_int8

    def as_dict(self) -> dict[str, Any]:
        """The fields and `speedup`, fit for JSON: what is not finite becomes None."""
        fields = {**dataclasses.asdict(self), "speedup": self.speedup, "left_float": list(self.left_float)}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}


def compare(
    float_model: ModelSource,
    int8_model: ModelSource,
    data: Data,
    labels: ArrayLike | None = None,
    *,
    samples: str | None = None,
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    external_data: Folder = None,
    progress: Progress | None = None,
) -> Comparison:
    """Runs both models over `data` (in any form that `quantize_model` takes) and measures them against each other.

    `labels`: the right class of each sample, integers [samples]. `samples`: as for `quantize_model`. `num_threads`:
    None is `qkern.get_num_threads()`; `fallback` and `external_data` are those of `Session`.

    Raises ValueError where the models' inputs or outputs differ, there is no data or it doesn't fit, or the labels
    don't go with it.
    """
    from ..runtime.session import Session

    sources = (float_model, int8_model)
    graphs = [load_model(source, external_data) for source in sources]
    sampling = Sampling.of(graphs[0], samples)
    _refuse_other_inputs(sampling.inputs, input_specs(graphs[1]))
    feeds = Feeds(data, sampling, what="data")
    right = None if labels is None else _checked_labels(labels, feeds.samples)
    sessions = [Session(graph, num_threads, fallback=fallback) for graph in graphs]

    deviation = Deviation()
    tops: list[list[NDArray[np.intp]]] = [[], []]
    sample: Feed = {}
    done = 0
    for feed in feeds:
        sample = sample or (sampling.part(feed, 0, 1) if sampling.divisible else feed)
        outputs = [session.run(None, feed) for session in sessions]
        for reference, other in zip(*outputs, strict=True):
            deviation.add(reference, other)
        for top, (first, *_) in zip(tops, outputs, strict=True):
            if first.ndim == 2 and len(first) == sampling.count(feed):
                top.append(first.argmax(axis=1))
        done += sampling.count(feed)
        if progress is not None:
            progress(done, feeds.samples)

    top_float, top_int8 = (np.concatenate(top) if top else None for top in tops)
    if right is not None:
        if top_float is None:
            raise ValueError("labels: the models' first output is not [samples, classes]")
        if right.size != top_float.size:
            raise ValueError(f"labels: {right.size} of them for {top_float.size} samples")
    runs = [partial(session.run, None, sample) for session in sessions]
    latency_float, latency_int8 = (
        each.median for each in interleaved_timings(runs, samples=501, least_sample=0.0, seconds=1.0)
    )
    return Comparison(
        samples=done,
        top1_float=None if right is None else float(np.mean(top_float == right)),
        top1_int8=None if right is None else float(np.mean(top_int8 == right)),
        agreement=None if top_float is None else float(np.mean(top_float == top_int8)),
        sqnr_db=deviation.sqnr_db,
        cosine=deviation.cosine,
        latency_float=latency_float,
        latency_int8=latency_int8,
        size_float=model_bytes(float_model),
        size_int8=model_bytes(int8_model),
        tier=isa.active(),
        num_threads=get_num_threads() if num_threads is None else num_threads,
        left_float=steps_left_float(sessions[1]),
    )


def steps_left_float(session: Session) -> tuple[str, ...]:
    """Names of the steps of `session` that compute in float although its model is quantized; where another library
    does, with the library and the operators."""
    return tuple(
        step.name if step.kind == "float" else f"{step.name} ({step.op_type}, in {step.kind})"
        for step in session.steps
        if step.kind not in ("int8", "convert")
    )


def _refuse_other_inputs(ours: Sequence[InputSpec], theirs: Sequence[InputSpec]) -> None:
    if [spec.name for spec in ours] != [spec.name for spec in theirs]:
        names = [", ".join(repr(spec.name) for spec in each) for each in (ours, theirs)]
        raise ValueError(f"the models have different inputs: {names[0]} and {names[1]}")


def _checked_labels(labels: ArrayLike, samples: int | None) -> NDArray[Any]:
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"labels: expected integers [samples], got {array.dtype} {list(array.shape)}")
    if samples is not None and samples != array.size:
        raise ValueError(f"labels: {array.size} of them for {samples} samples")
    return array
