"""Nodes without a kernel: neighbours become one call of ONNX Runtime, or each one of ONNX's reference, or are refused.

A foreign node waits until something else reads what it writes, and takes along all that wait by then. No step that was
made meanwhile depends on a waiting node, so together they are one subgraph that needs nothing from its own outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from ..program import Call, Kind, Lowering, Slot, Step
from ..reference_list import unproven
from .onnxruntime_call import has_onnxruntime, onnxruntime_call
from .reference import reference_call
from .subgraph import Subgraph, cut_out, label_of, nodes_in, operator_of, sources_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FALLBACKS", "Fallback", "Foreign", "ForeignNodes", "Receiver"]

Fallback: TypeAlias = Literal["auto", "none", "reference", "onnxruntime"]
FALLBACKS: tuple[Fallback, ...] = get_args(Fallback)

_INSTALL = 'pip install "qkern[fallback]"'
_MOST_NAMES = 4  # of a step of many nodes: more make a table unreadable


class Receiver(Lowering, Protocol):
    """What takes the steps of foreign nodes."""

    def add_step(self, step: Step, written: Sequence[ir.Value]) -> None:
        """A step that is made already, which writes `written` in the graph's order of axes."""


class ForeignNodes:
    """The foreign nodes of `model` that wait for their step."""

    def __init__(self, model: ir.Model, fallback: Fallback, num_threads: int | None, observed: Collection[str]) -> None:
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback: {fallback!r} is not one of {', '.join(FALLBACKS)}")
        self._model = model
        self._fallback = fallback
        self._num_threads = num_threads
        self._observed = observed
        self._waiting: dict[ir.Node, str] = {}

    def holds(self, value: ir.Value) -> bool:
        """Whether a waiting node writes `value`."""
        return value.producer() in self._waiting

    def add(self, node: ir.Node, reason: str, builder: Receiver) -> None:
        """`node` waits; `reason` says why it has no kernel. Raises ValueError where it may not run elsewhere."""
        if self._fallback == "none":
            raise ValueError(f"{label_of(node)} can't run: {reason}, and fallback is 'none'")
        if any(not self.holds(value) and self._is_behind(value, builder) for value in sources_of(node)):
            self.lower(builder)
        self._waiting[node] = reason
        if any(output.name and output.type is None for output in node.outputs):
            self.lower(builder)  # ONNX Runtime tells what ONNX doesn't know, and what comes next may need it

    def lower(self, builder: Receiver) -> None:
        """Adds the steps of all that wait."""
        waiting, self._waiting = self._waiting, {}
        self._lower(list(waiting.items()), builder)

    def _is_behind(self, value: ir.Value, builder: Receiver) -> bool:
        """Whether `value` stands for codes that a waiting node writes."""
        quantized = builder.quantized(value)
        return quantized is not None and self.holds(quantized.codes)

    def _lower(self, nodes: Sequence[tuple[ir.Node, str]], builder: Receiver) -> None:
        subgraph = cut_out([node for node, _ in nodes], self._model, builder.constant, self._observed)
        if not subgraph.outputs:
            return
        refusal = ""
        if self._fallback != "reference" and has_onnxruntime():
            try:
                call = onnxruntime_call(subgraph, self._num_threads)
            except ValueError as error:
                refusal = str(error)
            else:
                self._add_step(nodes, "onnxruntime", call, subgraph, builder)
                return
        if len(nodes) > 1:  # all but the nodes that are refused as one, or as a few
            half = len(nodes) // 2
            self._lower(nodes[:half], builder)
            self._lower(nodes[half:], builder)
            return
        node, reason = nodes[0]
        call = self._reference_or_refuse(node, reason, refusal, subgraph)
        self._add_step(nodes, "reference", call, subgraph, builder)

    def _reference_or_refuse(self, node: ir.Node, reason: str, refusal: str, subgraph: Subgraph) -> Callable[..., Any]:
        if self._fallback == "onnxruntime":
            raise ValueError(
                f"{label_of(node)} can't run: {reason}; {refusal or f'onnxruntime is not installed: {_INSTALL}'}"
            )
        opsets = self._model.opset_imports
        missing = [unproven(inner, opsets.get(inner.domain, 0)) for inner in nodes_in(node)]
        if any(missing):
            why = f"onnx.reference is not known to be right for {', '.join(filter(None, missing))}"
        else:
            try:
                return reference_call(subgraph)
            except ValueError as error:
                why = str(error)
        advice = refusal or f"onnxruntime may run it: {_INSTALL}"
        if self._fallback == "reference" and has_onnxruntime():
            advice = "fallback 'auto' or 'onnxruntime' may run it"
        raise ValueError(f"{label_of(node)} can't run: {reason}; {why}; {advice}")

    def _add_step(
        self,
        nodes: Sequence[tuple[ir.Node, str]],
        kind: Kind,
        call: Callable[..., Any],
        subgraph: Subgraph,
        builder: Receiver,
    ) -> None:
        labels = [label_of(node) for node, _ in nodes]
        reasons = dict.fromkeys(
            reason if len(nodes) == 1 or node.op_type in reason else f"{operator_of(node)}: {reason}"
            for node, reason in nodes
        )

        builder.add_step(
            Step(
                _some([node.name or "" for node, _ in nodes]),
                "+".join(dict.fromkeys(operator_of(node) for node, _ in nodes)),
                kind,
                "; ".join(reasons),
                tuple(builder.read(value) for value in subgraph.inputs),
                tuple(Slot(value.name or "") for value in subgraph.outputs),
                Foreign(_some(labels), call),
            ),
            subgraph.outputs,
        )


@dataclass(frozen=True, eq=False)
class Foreign(Call):
    """What a library computes; `library` gives arrays, or a tuple of them, of memory of its own."""

    label: str
    library: Callable[..., Any]
    takes_out = False
    depends_on_values = True

    def __call__(self, *arrays: Any) -> Any:
        try:
            return self.library(*arrays)
        except Exception as error:  # each library's own classes
            raise RuntimeError(f"{self.label}: {error}") from error


def _some(names: Sequence[str]) -> str:
    """The names, or of many the first few and how many there are."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMES - 1])} ... {names[-1]} ({len(names)} nodes)"
