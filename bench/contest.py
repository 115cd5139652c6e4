"""One shape, everyone who can compute it: results checked, then timed in turn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray
from qkern.timing import Timing, interleaved_timings

from . import peaks
from .exact import Deviation, deviation

__all__ = ["Case", "Contestant", "Effort", "Row", "WrongAnswerError", "hold", "one_thread"]

Array = NDArray[Any]
OURS = "qkern"
SLOW = 1.0  # seconds; what takes longer is far from the others, and its first call is all that is timed
ROUNDED = 0.01  # largest share of codes that may be off by one in results that count as right
FLOAT_TOLERANCE = 1e-4  # of the largest output: float libraries sum in different orders


def one_thread(variant: str) -> str:
    """The name of a variant that computes on one thread where the others have several."""
    return f"{variant}, one thread".removeprefix(", ")


class WrongAnswerError(Exception):
    """qkern's result, or a float one, is wrong: there is nothing to time."""


@dataclass(frozen=True)
class Contestant:
    """A way to compute one of a case's answers.

    `task` says what comes out: those of one task are compared with each other, and all with the fastest of task "fp32".
    `answer` is the key of the right result in the case, `output` gives what `call` computed last. `products`: those of
    the tier that bound it, where there are several, as in `peaks.Peak.dtype`.
    """

    library: str
    variant: str
    task: str
    answer: str
    call: Callable[[], object]
    output: Callable[[], Array]
    tier: str = ""
    threads: int = 0
    products: str = "int8"

    def before(self) -> None:
        """Makes the tier active, for what qkern doesn't pack follows it, and sets qkern's number of threads."""
        if self.tier:
            qkern.isa.use(self.tier)
        if self.threads:
            qkern.set_num_threads(self.threads)

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.library, self.tier, self.variant) if part)


@dataclass
class Case:
    """One shape of one operator: work per call and, built when it is its turn, data, answers and contestants."""

    op: str
    group: str
    shape: str
    operations: int  # 2 per product; elements for elementwise operators
    bytes_read: int  # what has to come from memory or a cache at least
    bytes_copied: int = 0  # bytes read plus bytes written, for operators that only stream
    answers: dict[str, Array] = field(default_factory=dict)
    contestants: list[Contestant] = field(default_factory=list)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    samples: int = 21
    least_sample: float = 1e-3
    seconds: float = 0.3
    pause: float = 0.0
    clock: Callable[[], float] = time.perf_counter


@dataclass
class Row:
    """What was measured of one contestant. `percent` is of `bound`: the tier's instruction peak, or the bandwidth."""

    op: str
    group: str
    shape: str
    task: str
    library: str
    variant: str
    tier: str
    contestant: str
    threads: int
    operations: int
    seconds: float
    low: float
    high: float
    samples: int
    calls: int
    rate: float  # GOPS; elements per ns for elementwise operators
    bound: str = ""
    percent: float | None = None
    wrong_share: float | None = None
    largest_error: float | None = None
    over_fp32: float | None = None
    over_peer: float | None = None
    fastest_peer: str = ""

    @property
    def exact(self) -> bool:
        return not self.wrong_share

    @property
    def sound(self) -> bool:
        """Exact, or codes that are now and then off by one because the multiplier is rounded in another way."""
        return self.exact or (self.task != "s32" and self.largest_error == 1 and (self.wrong_share or 0) < ROUNDED)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, numbers to six digits."""
        return {name: float(f"{v:.6g}") if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class _Limit:
    """A peak or bandwidth, timed as the contestants are: what it does in a call."""

    kind: str  # "int8", "int8_safe", "float32", "read", "copy"
    name: str
    tiers: tuple[str, ...]
    amount: int
    call: Callable[[], object]


def hold(case: Case, threads: int, tiers: Sequence[str], effort: Effort) -> tuple[list[Row], dict[str, float]]:
    """Checks and times all contestants of a built case. Besides the rows, what the machine reached in it: GOPS, GB/s.

    Raises WrongAnswerError where qkern computes something else than the answer; a float library that does is left out.
    """
    checked = []
    for each in case.contestants:
        try:
            checked.append((each, *check(each, case.answers, effort.clock)))
        except WrongAnswerError as error:
            if each.library == OURS:
                raise
            print(f"left out: {case.op} {case.shape}: {error}", file=sys.stderr)
    quick = [each for each, _, seconds in checked if seconds <= SLOW]
    limits = list(_limits(case, threads, tiers))
    with _restored():
        timings = interleaved_timings(
            [*(each.call for each in quick), *(limit.call for limit in limits)],
            samples=effort.samples,
            least_sample=effort.least_sample,
            seconds=effort.seconds,
            pause=effort.pause,
            before=[*(each.before for each in quick), *([_nothing] * len(limits))],
            clock=effort.clock,
        )
    reached = {
        limit.name: limit.amount / timing.median / 1e9
        for limit, timing in zip(limits, timings[len(quick) :], strict=True)
    }
    timed = dict(zip(map(id, quick), timings, strict=False))
    rows = [
        _row(case, each, threads, timed.get(id(each), Timing.of([seconds])), wrong, limits, reached)
        for each, wrong, seconds in checked
    ]
    add_ratios(rows)
    return rows, reached


def check(
    contestant: Contestant, answers: Mapping[str, Array], clock: Callable[[], float] = time.perf_counter
) -> tuple[Deviation | None, float]:
    """How far a first call is from the answer, and its seconds. None for float results: close, or it raises."""
    with _restored():
        contestant.before()
        start = clock()
        contestant.call()
        seconds = clock() - start
    output, answer = np.asarray(contestant.output()), answers[contestant.answer]
    if answer.dtype.kind == "f":
        error = float(np.abs(output - answer).max() / np.abs(answer).max()) if output.shape == answer.shape else np.inf
        if not error <= FLOAT_TOLERANCE:
            raise WrongAnswerError(f"{contestant.name}: off by {error:.2g} of the largest output")
        return None, seconds
    found = deviation(output, answer)
    if contestant.library == OURS and not found.exact:
        raise WrongAnswerError(f"{contestant.name}: {100 * found.wrong_share:.3g} % of the entries are wrong")
    return found, seconds


@contextmanager
def _restored() -> Iterator[None]:
    """Undoes what `before` does."""
    threads = qkern.get_num_threads()
    try:
        with qkern.isa.use(qkern.isa.active()):
            yield
    finally:
        qkern.set_num_threads(threads)


def _nothing() -> None:
    pass


def _limits(case: Case, threads: int, tiers: Sequence[str]) -> Iterator[_Limit]:
    if case.bytes_copied:
        if peaks.library() is None:
            return
        for plainly in (True, False):
            call, amount = peaks.copy(max(64, case.bytes_copied // 2), threads, plainly)
            yield _Limit("copy", f"copy, {'vector moves' if plainly else 'memcpy'}", (), amount, call)
        return
    call, amount = peaks.read(max(64, case.bytes_read), threads)
    yield _Limit("read", "read", (), amount, call)
    for peak in peaks.of_tiers(tiers):
        call, amount = peaks.run(peak, threads)
        yield _Limit(peak.dtype, peak.instructions, peak.tiers, amount, call)


def _row(
    case: Case,
    contestant: Contestant,
    threads: int,
    timing: Timing,
    wrong: Deviation | None,
    limits: Sequence[_Limit],
    reached: Mapping[str, float],
) -> Row:
    bound, percent = _percent(case, contestant, timing, limits, reached)
    return Row(
        op=case.op,
        group=case.group,
        shape=case.shape,
        task=contestant.task,
        library=contestant.library,
        variant=contestant.variant,
        tier=contestant.tier,
        contestant=contestant.name,
        threads=threads,
        operations=case.operations,
        seconds=timing.median,
        low=timing.low,
        high=timing.high,
        samples=timing.samples,
        calls=timing.calls,
        rate=case.operations / timing.median / 1e9,
        bound=bound,
        percent=percent,
        wrong_share=None if wrong is None else wrong.wrong_share,
        largest_error=None if wrong is None else wrong.largest_error,
    )


def _percent(
    case: Case, contestant: Contestant, timing: Timing, limits: Sequence[_Limit], reached: Mapping[str, float]
) -> tuple[str, float | None]:
    """Roofline: the longer of the times of the arithmetic and the memory at best, as a share of the time taken."""
    bandwidths = [(reached[limit.name], limit.name) for limit in limits if limit.kind in ("read", "copy")]
    if contestant.library != OURS or not bandwidths:
        return "", None
    bandwidth, name = max(bandwidths)
    least = {name.partition(",")[0]: (case.bytes_copied or case.bytes_read) / bandwidth / 1e9}
    if not case.bytes_copied:
        kind = "float32" if contestant.task == "fp32" else contestant.products
        own = next((limit.name for limit in limits if limit.kind == kind and contestant.tier in limit.tiers), None)
        if own is None:
            return "", None
        least[own] = case.operations / reached[own] / 1e9
    bound = max(least, key=least.__getitem__)
    return bound, 100 * least[bound] / timing.median


def add_ratios(rows: Sequence[Row]) -> None:
    """Of one case: speed over the fastest float row, and over the fastest other library at the same task."""
    floats = [row.seconds for row in rows if row.task == "fp32"]
    for row in rows:
        if floats:
            row.over_fp32 = min(floats) / row.seconds
        peers = [each for each in rows if each.task == row.task and each.library not in (row.library, "numpy int32")]
        if peers:
            fastest = min(peers, key=lambda each: each.seconds)
            row.over_peer, row.fastest_peer = fastest.seconds / row.seconds, fastest.contestant
