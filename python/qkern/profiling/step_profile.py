"""A step beside its bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .measured import Array, Measured
from .roofline import BoundBy, Roofline, route_of, why_slow

__all__ = ["StepProfile", "profiled"]


@dataclass(frozen=True)
class StepProfile:
    """A step of a program, as `Session.steps` has it under `number`.

    `kernel`: its kind and, for a layer, how that is computed; `tier` that packed its weights, "" without; `inputs` and
    `outputs` in the order of axes in which they lie in memory; `macs`: multiply-adds of a layer or product, else 0;
    `nbytes`: read and written, packed weights included; `seconds`: median of the runs.

    `bound`: "peak" (of the tier's instructions) or "memory", whichever takes longer at best, `bound_seconds` how long;
    "" and None where another library computes it, and for views. `reason`: why it isn't int8, as `Step.reason`; `slow`:
    why it is far from its bound, or that memory is.
    """

    number: int
    name: str
    op_type: str
    kind: str
    kernel: str
    tier: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    macs: int
    nbytes: int
    seconds: float
    bound: BoundBy | str
    bound_seconds: float | None
    reason: str
    slow: str

    @property
    def gops(self) -> float | None:
        """Billions of operations a second, 2 per multiply-add; None without any."""
        return 2 * self.macs / self.seconds / 1e9 if self.macs and self.seconds else None

    @property
    def percent(self) -> float | None:
        """Of its bound."""
        if self.bound_seconds is None or not self.seconds:
            return None
        return 100 * self.bound_seconds / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = {name: getattr(self, name) for name in ("number", "name", "op_type", "kind", "kernel", "tier")}
        fields["inputs"] = [{"shape": list(array.shape), "dtype": array.dtype} for array in self.inputs]
        fields["outputs"] = [{"shape": list(array.shape), "dtype": array.dtype} for array in self.outputs]
        for name in ("macs", "nbytes", "seconds", "gops", "bound", "bound_seconds", "percent", "reason", "slow"):
            fields[name] = getattr(self, name)
        return fields


def profiled(number: int, step: Measured, roofline: Roofline) -> StepProfile:
    """What there is to say of the measured step."""
    bound = roofline.bound(step)
    layer = step.layer
    return StepProfile(
        number=number,
        name=step.name,
        op_type=step.op_type,
        kind=step.kind,
        kernel=route_of(step),
        tier="" if layer is None else layer.tier,
        inputs=step.inputs,
        outputs=step.outputs,
        macs=step.macs,
        nbytes=sum(a.nbytes for a in (*step.inputs, *step.outputs)) + (0 if layer is None else layer.nbytes),
        seconds=step.seconds,
        bound="" if bound is None else bound.by,
        bound_seconds=None if bound is None else bound.seconds,
        reason=step.note,
        slow=why_slow(step, bound),
    )
