"""The least time that a step can take, and why it takes longer.

Two times can't be beaten: operations at the rate of the tier's instructions, and bytes at the rate of the cache (or the
memory) that they come from. The longer one is the bound (Williams, Waterman and Patterson 2009, "Roofline").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .limits import Limits
from .measured import Measured

__all__ = ["FOREIGN", "Bound", "BoundBy", "Roofline", "route_of", "why_slow"]

FOREIGN = ("onnxruntime", "reference")  # kinds of steps that another library computes

BoundBy: TypeAlias = Literal["peak", "memory"]

_FAST = 0.6  # of its bound: no reason is asked for from here on
_MEMORY = 0.4  # of what memory allows: it is what a layer waits for from here on
_SHALLOW = 64  # multiply-adds of an output, up to which writing it counts as much as computing it
_NARROW = 0.5  # of a tile's columns: with no more in use it is narrow
_SHORT = 1e-6  # seconds: a step that takes no longer spends most of them on being called
_WINOGRAD = {"winograd2": 16 / 36, "winograd4": 36 / 144}  # multiplications for each one of a 3x3 convolution
_VIEW = 1.2  # times as fast as reading all its bytes: it didn't


@dataclass(frozen=True)
class Bound:
    """Seconds that a step takes at the least, and what says so: "peak" of the tier's instructions, or "memory"."""

    seconds: float
    by: BoundBy


class Roofline:
    """The bounds of the steps of one program."""

    def __init__(self, steps: Sequence[Measured], limits: Limits) -> None:
        self._limits = limits
        self._tier = next((step.layer.tier for step in steps if step.layer is not None), "")
        # A run reads all weights before the next one reads them again.
        self._resident = sum(step.layer.nbytes for step in steps if step.layer is not None)
        self._resident += max((_moved(step) for step in steps), default=0)

    def bound(self, step: Measured) -> Bound | None:
        """None for what another library computes, for a view, and for a part of what a step was given."""
        if step.kind in FOREIGN:
            return None
        moved, weights = _moved(step), _weights(step)
        memory = moved / self._limits.reading(moved) + weights / self._limits.reading(self._resident)
        tier = step.layer.tier if step.layer is not None else self._tier
        peak = self._limits.peaks.get((tier, _arithmetic(step))) if step.macs else None
        arithmetic = 2 * _products(step) / peak if peak else 0.0
        if not step.macs and memory > _VIEW * step.seconds:
            return None
        return Bound(arithmetic, "peak") if arithmetic >= memory else Bound(memory, "memory")


def route_of(step: Measured) -> str:
    """How it is computed, in words: its kind, and of a layer its route."""
    if step.kind in FOREIGN:
        return step.kind
    if step.layer is None:
        return f"{step.kind} {step.route}".rstrip()
    one = ", one row" if step.layer.tile is not None and _rows(step) == 1 else ""
    return f"{step.kind} {step.layer.route}{one}"


def why_slow(step: Measured, bound: Bound | None) -> str:
    """Why a step is far from its bound, or that it is bound by memory; "" where there is nothing to say."""
    if bound is None:
        return ""
    if step.macs and bound.by == "memory" and bound.seconds >= _MEMORY * step.seconds:
        return f"memory-bound: {'weights' if _weights(step) > _moved(step) else 'activations'}"
    if bound.seconds >= _FAST * step.seconds:
        return ""
    why = [_why_far_from_peak(step) if step.macs else "", "computed from Python" if step.from_python else ""]
    said = ", ".join(filter(None, why))
    return said or ("short: the call itself counts" if step.seconds < _SHORT else "")


def _why_far_from_peak(step: Measured) -> str:
    depth = step.macs // max(1, math.prod(step.outputs[0].shape))
    layer, found = step.layer, []
    if layer is None:
        return f"shallow ({depth} multiply-adds an output)" if depth <= _SHALLOW else ""
    if layer.tile is None:
        return f"depthwise ({depth} multiply-adds an output)"
    rows, cols = _rows(step), step.outputs[0].shape[-1] // layer.groups
    tile_rows, tile_cols, _ = layer.tile
    if rows < 2 * tile_rows and rows % tile_rows:
        found.append(f"few rows ({rows}, {tile_rows} at a time)")
    if cols <= _NARROW * tile_cols:
        found.append(f"narrow{' groups' if layer.groups > 1 else ''} ({cols} columns, {tile_cols} at a time)")
    if depth <= _SHALLOW:
        found.append(f"shallow ({depth} multiply-adds an output)")
    return ", ".join(found)


def _arithmetic(step: Measured) -> str:
    """The type of its operands, as `Limits.peaks` has it."""
    if step.kind != "int8":
        return "float32"
    return "int8_safe" if step.layer is not None and step.layer.is_safe else "int8"


def _products(step: Measured) -> float:
    """Multiplications, at the least: Winograd's forms do with fewer, of int16, which are no faster than of int8."""
    return step.macs * _WINOGRAD.get(step.layer.route if step.layer is not None else "", 1.0)


def _moved(step: Measured) -> int:
    """Bytes of activations that it reads and writes."""
    return sum(array.nbytes for array in (*step.inputs, *step.outputs))


def _weights(step: Measured) -> int:
    return 0 if step.layer is None else step.layer.nbytes


def _rows(step: Measured) -> int:
    shape = step.outputs[0].shape
    return math.prod(shape[:-1])
