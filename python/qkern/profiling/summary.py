"""In words: where the time goes, and what would help."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .limits import Limits
from .roofline import FOREIGN
from .step_profile import StepProfile

__all__ = ["summary_of"]

_WORTH = 0.03  # of the total: less isn't mentioned
_GROUPS = 4  # the largest, one by one
_HELPS = 3
_CAUSES = 3
_OPERATORS = 3  # named of a group
_BETWEEN = 0.10  # of the total, between the steps, from which on it is one's concern


@dataclass(frozen=True)
class _Group:
    """Steps of one sort: what they are called, and which they are."""

    label: str
    holds: Callable[[StepProfile], bool]
    names_operators: bool = False


_ALL = (
    _Group("int8 depthwise layers", lambda step: step.kind == "int8" and "depthwise" in step.kernel),
    _Group("int8 layers", lambda step: step.kind == "int8" and step.macs > 0),
    _Group("int8 steps without weights", lambda step: step.kind == "int8", True),
    _Group("float layers", lambda step: step.kind == "float" and step.macs > 0),
    _Group("float steps without weights", lambda step: step.kind == "float", True),
    _Group("steps in ONNX Runtime", lambda step: step.kind == "onnxruntime", True),
    _Group("steps in onnx.reference", lambda step: step.kind == "reference", True),
    _Group("conversions (float, codes, order of axes)", lambda step: step.kind == "convert"),
)


def summary_of(steps: Sequence[StepProfile], total: float, overhead: float, limits: Limits) -> str:
    """Two or three sentences."""
    if not steps or not total:
        return "Nothing is computed."
    helps = sorted(_helps(steps, total, overhead, limits), reverse=True)[:_HELPS]
    text = f"{_where(steps, total, overhead)} {_at_best(steps, total)}"
    if helps:
        return f"{text} What would help: {'; '.join(help for _, help in helps)}."
    return f"{text} No single change would help much."


def _where(steps: Sequence[StepProfile], total: float, overhead: float) -> str:
    left, found = list(steps), []
    for group in _ALL:
        members = [step for step in left if group.holds(step)]
        left = [step for step in left if not group.holds(step)]
        found.append((sum(step.seconds for step in members), _described(group, members)))
    found.append((overhead, "what passes between the steps"))
    parts = [(seconds, text) for seconds, text in sorted(found, reverse=True) if seconds >= _WORTH * total][:_GROUPS]
    return f"The time goes to {_listed(f'{text}: {100 * seconds / total:.0f} %' for seconds, text in parts)}."


def _described(group: _Group, members: Sequence[StepProfile]) -> str:
    if group.names_operators:
        return f"{group.label} ({_operators(members)})"
    seconds = sum(step.seconds for step in members)
    bounds = [step.bound_seconds for step in members if step.bound_seconds is not None]
    if not bounds or not seconds or "layers" not in group.label:
        return group.label
    return f"{group.label} (at {100 * sum(bounds) / seconds:.0f} % of their bound)"


def _at_best(steps: Sequence[StepProfile], total: float) -> str:
    best = sum(step.seconds if step.bound_seconds is None else step.bound_seconds for step in steps)
    lost: Counter[str] = Counter()
    for step in steps:
        lost[_cause(step)] += _above(step)  # type: ignore[assignment]
    found = [(cause, seconds) for cause, seconds in lost.most_common(_CAUSES) if seconds >= _WORTH * total]
    text = f"With every step at its bound a run would take {100 * best / total:.0f} % of it"
    if not found:
        return f"{text}."
    return f"{text}; what it takes longer is {_listed(f'{100 * s / total:.0f} % in {cause}' for cause, s in found)}."


def _cause(step: StepProfile) -> str:
    """What steps that are slow for the same reason are called."""
    if step.kernel.endswith("table"):
        return "tables"
    if not step.macs or "from Python" in step.slow:
        return step.op_type
    if step.slow.startswith("memory-bound"):
        return f"layers that wait for their {step.slow.split()[-1]}"
    cause = re.sub(r" \([^)]*\)", "", step.slow).replace(", ", " and ")
    return f"{cause or 'ordinary'} layers"


def _above(step: StepProfile) -> float:
    """Seconds above its bound."""
    return 0.0 if step.bound_seconds is None else max(step.seconds - step.bound_seconds, 0.0)


def _helps(steps: Sequence[StepProfile], total: float, overhead: float, limits: Limits) -> Iterable[tuple[float, str]]:
    """What it might save, and what to do."""
    for seconds, text in (
        _int8(steps, limits),
        _kernels(steps),
        _fewer_conversions(steps),
        _larger_batch(steps, overhead, total),
    ):
        if seconds >= _WORTH * total:
            yield seconds, text


def _int8(steps: Sequence[StepProfile], limits: Limits) -> tuple[float, str]:
    floats = [step for step in steps if step.kind == "float"]
    gain = max(
        (limits.peaks[tier, "int8"] / limits.peaks[tier, "float32"] for tier, dtype in limits.peaks if dtype == "int8"),
        default=1.0,
    )
    # Instructions multiply so many times as fast; what doesn't multiply moves a quarter of the bytes.
    saved = sum(step.seconds * (1 - 1 / (gain if step.macs else 4)) for step in floats)
    if not any(step.kind == "int8" for step in steps):
        return saved, f"int8 (qkern quantize): its instructions do {gain:.1f} times what float32's do here"
    slowest = max(floats, key=lambda step: step.seconds, default=None)
    if slowest is None:
        return 0.0, ""
    which = f"the {len(floats)} float steps" if len(floats) > 1 else "the float step"
    why = f" ({slowest.reason})" if slowest.reason else ""
    return saved, f"int8 for {which}, {slowest.op_type} {slowest.name!r} first{why}"


def _kernels(steps: Sequence[StepProfile]) -> tuple[float, str]:
    foreign = [step for step in steps if step.kind in FOREIGN]
    return (
        sum(step.seconds for step in foreign),
        f"operators that qkern has kernels for instead of {_operators(foreign)}",
    )


def _fewer_conversions(steps: Sequence[StepProfile]) -> tuple[float, str]:
    # What the graph's inputs and outputs need would stay.
    computing = [number for number, step in enumerate(steps) if step.kind != "convert"]
    inner = steps[computing[0] : computing[-1]] if computing else ()
    seconds = sum(step.seconds for step in inner if step.kind == "convert" and _changes_type(step))
    return seconds, "fewer changes between int8 and float inside of the graph"


def _changes_type(step: StepProfile) -> bool:
    return {array.dtype for array in step.inputs} != {array.dtype for array in step.outputs}


def _larger_batch(steps: Sequence[StepProfile], overhead: float, total: float) -> tuple[float, str]:
    starved = [step for step in steps if step.slow == "memory-bound: weights" or "few rows" in step.slow]
    reasons, saved = [], 0.0
    seconds = sum(step.seconds for step in starved)
    if seconds >= _WORTH * total:
        many = len(starved) > 1
        reasons.append(f"{len(starved)} layer{'s' * many} read{'s' * (not many)} weights for few rows")
        saved += seconds / 2
    if overhead >= _BETWEEN * total:
        reasons.append("the time between the steps is per run")
        saved += overhead
    return saved, f"larger batches ({' and '.join(reasons)})"


def _operators(steps: Iterable[StepProfile]) -> str:
    """Their operators, those that take longest first."""
    seconds: Counter[str] = Counter()
    for step in steps:
        for name in step.op_type.split("+"):
            seconds[name] += step.seconds / len(step.op_type.split("+"))  # type: ignore[assignment]
    names = [name for name, _ in seconds.most_common(_OPERATORS)]
    return ", ".join(names) + (", ..." if len(seconds) > _OPERATORS else "")


def _listed(parts: Iterable[str]) -> str:
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last
