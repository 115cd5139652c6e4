"""Lowers a graph to steps, one node after the other.

An operator asks what its inputs are (`quantized`, `constant`), where its result goes (`destination`: the node, the
activation it absorbs, and the QuantizeLinear behind them) and adds a step: `program.Lowering` says how. What converts
between orders of axes, and from codes to floats, is added once per value, where something reads it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..operators import activation_bounds, activation_of, get_operator
from ..program import (
    CODES,
    Algorithm,
    Call,
    ChangeLayout,
    ChannelsFirstColumns,
    Dequantize,
    DequantizeBy,
    Destination,
    Kind,
    Lookup,
    Quantize,
    QuantizeBy,
    Quantized,
    Slot,
    Step,
    Unsupported,
    dequantized,
    has_kernel,
    params_of,
)
from .control_flow import BODIES, lower_bodies
from .foreign_nodes import Fallback, ForeignNodes, Receiver
from .function_groups import FunctionGroups
from .onnxruntime_call import has_onnxruntime
from .program import Program

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Builder"]

_PACKED_BYTES = 4_000_000  # that a network's packed weights may have beyond 4 times its int8 weights


class Builder(Receiver):
    """Makes the steps of `model`; `observed` names float values that must not be absorbed by a step. `fallback` and
    `num_threads` are about nodes without a kernel, `algorithm` about int8 convolutions. With `body`, the steps of that
    graph of it, which reads the values `captured` of graphs around it: they are inputs too."""

    def __init__(
        self,
        model: ir.Model,
        observed: Collection[str] = (),
        fallback: Fallback = "auto",
        num_threads: int | None = None,
        *,
        algorithm: Algorithm = "auto",
        budget: _core.PackingBudget | None = None,
        body: ir.Graph | None = None,
        captured: Sequence[ir.Value] = (),
    ) -> None:
        self.steps: list[Step] = []
        self.inputs: dict[str, Slot] = {}
        self._model, self._graph = model, model.graph if body is None else body
        self._fallback, self._num_threads = fallback, num_threads
        self.algorithm = algorithm
        self.budget = _core.PackingBudget(_PACKED_BYTES) if budget is None else budget
        self._observed = frozenset(observed)
        self._slots: dict[ir.Value, dict[bool, Slot]] = {}  # by channels_last
        self._flattened: dict[ir.Value, int] = {}  # of codes that are stored flattened from channels last: the channels
        self._quantized: dict[ir.Value, Quantized] = {}
        self._tables: dict[ir.Value, tuple[ir.Value, NDArray[Any]]] = {}
        self._done: set[ir.Node] = set()
        self._foreign = ForeignNodes(model, fallback, num_threads, self._observed)
        for value in (*self._graph.inputs, *captured):
            slot = Slot(value.name or "")
            self.inputs[slot.name] = slot
            self._slots[value] = {False: slot}
        self._groups = FunctionGroups(self._graph, self._observed)
        for node in self._graph:
            if node not in self._done:
                self._lower(node)
        self.outputs = [(value.name or "", self.read(value)) for value in self._graph.outputs]
        self.taps = self._observed_slots()

    # --- what an operator asks --------------------------------------------------

    def constant(self, value: ir.Value | None) -> NDArray[Any] | None:
        if value is None:
            return None
        quantized = self._quantized.get(value)
        if quantized is None:
            return constant_of(value)
        codes = constant_of(quantized.codes)
        return None if codes is None else dequantized(codes, quantized.params)

    def quantized(self, value: ir.Value | None) -> Quantized | None:
        return None if value is None else self._quantized.get(value)

    def codes(self, value: ir.Value | None) -> Quantized | None:
        quantized = self.quantized(value)
        return quantized if quantized is not None and quantized.per_tensor else None

    def table_of(self, codes: ir.Value) -> tuple[ir.Value, NDArray[Any]] | None:
        return self._tables.get(codes)

    def destination(self, node: ir.Node, output: int = 0, *, absorb: bool = True) -> Destination:
        value, activation, low, high = node.outputs[output], None, -math.inf, math.inf
        if absorb and value.name not in self._observed:
            activation = activation_of(value)
            bounds = activation_bounds(activation) if activation is not None else None
            if activation is not None and bounds is not None:
                value, (low, high) = activation.outputs[0], bounds
        readers = tuple(use.node for use in value.uses())
        params = [
            params_of(reader) if reader.op_type == "QuantizeLinear" and reader.graph is node.graph else None
            for reader in readers
        ]
        first = params[0] if params else None
        keeps_float = value.is_graph_output() or value.name in self._observed
        if keeps_float or first is None or first.axis is not None or first.dtype.name not in CODES:
            return Destination(value, activation, low, high)
        if not all(each is not None and each.same_as(first) for each in params):
            return Destination(value, activation, low, high)
        return Destination(value, activation, low, high, first, tuple(reader.outputs[0] for reader in readers))

    def channels_last(self, *values: ir.Value | None) -> bool:
        known = [value for value in values if value is not None and self.constant(value) is None]
        stored = [self._stored(value) for value in known]
        ranks = {None if value.shape is None else len(value.shape) for value in values if value is not None}
        return any(self._is_channels_last(value) for value in stored) and len(ranks) == 1 and None not in ranks

    def is_float(self, value: ir.Value | None) -> bool:
        import onnx_ir as ir

        return value is not None and (value in self._quantized or value.dtype == ir.DataType.FLOAT)

    def is_codes(self, value: ir.Value | None) -> bool:
        import onnx_ir as ir

        return value is not None and value.dtype in (ir.DataType.INT8, ir.DataType.UINT8)

    def rank(self, value: ir.Value) -> int:
        if value.shape is None:
            raise Unsupported(f"the rank of {value.name!r} is not known")
        return len(value.shape)

    # --- what an operator adds --------------------------------------------------

    def read(self, value: ir.Value, *, channels_last: bool = False) -> Slot:
        if self._foreign.holds(value):
            self._foreign.lower(self)
        slots = self._slots.setdefault(value, {})
        if channels_last in slots:
            return slots[channels_last]
        constant = self.constant(value)
        if constant is not None:
            if channels_last:
                constant = np.ascontiguousarray(np.moveaxis(constant, 1, -1))
            slots[channels_last] = Slot(value.name or "", channels_last, constant)
        elif slots:
            slots[channels_last] = self._reordered(slots[not channels_last], self._flattened.get(value, 0))
        elif value in self._quantized:
            slots[channels_last] = self._dequantized(value, channels_last)
        else:
            raise AssertionError(f"nothing writes {value.name!r}")
        return slots[channels_last]

    def read_codes(self, quantized: Quantized, *, channels_last: bool = False) -> Slot:
        return self.read(quantized.codes, channels_last=channels_last)

    def read_columns(self, quantized: Quantized) -> tuple[Slot, int]:
        channels = self._flattened.get(quantized.codes, 0)
        return self.read_codes(quantized, channels_last=channels > 0), channels

    def flattened(self, codes: Sequence[ir.Value], channels: int) -> None:
        for value in codes:
            self._flattened[value] = channels

    def add(
        self,
        node: ir.Node,
        call: Call,
        inputs: Sequence[Slot],
        to: Destination | None = None,
        *,
        kind: Kind | None = None,
        channels_last: bool = False,
        reason: str = "",
    ) -> None:
        if to is None:
            written: Sequence[ir.Value] = [output for output in node.outputs if output.name]
        else:
            written = to.codes or (to.value,)
            if to.value.type is None and node.inputs[0] is not None:  # behind an operator that ONNX doesn't know
                to.value.type = node.inputs[0].type
        if kind is None:
            kind = "int8" if to is not None and to.codes else "float"
        if kind == "float" and not reason:
            reason = self._why_float(node)
        if to is not None and to.codes:
            slot = Slot(to.codes[0].name or "", channels_last)
            outputs: tuple[Slot, ...] = (slot,)
            for codes in written:
                self._slots[codes] = {channels_last: slot}
                producer = codes.producer()
                assert producer is not None
                self._done.add(producer)
        else:
            outputs = tuple(Slot(value.name or "", channels_last) for value in written)
            for value, slot in zip(written, outputs, strict=True):
                self._slots[value] = {channels_last: slot}
        if to is not None and to.activation is not None:
            self._done.add(to.activation)
        self.steps.append(Step(node.name or "", node.op_type, kind, reason, tuple(inputs), outputs, call))

    def add_step(self, step: Step, written: Sequence[ir.Value]) -> None:
        for value, slot in zip(written, step.outputs, strict=True):
            self._slots[value] = {False: slot}
        self.steps.append(step)

    def add_float(self, node: ir.Node, call: Call, inputs: Sequence[Slot], to: Destination, **how: Any) -> None:
        self.add(node, call, inputs, replace(to, params=None, codes=()), kind="float", **how)

    def add_table(self, node: ir.Node, x: Quantized, table: NDArray[Any], to: Destination, reason: str = "") -> None:
        channels_last = self._is_channels_last(x.codes)
        source = self.read_codes(x, channels_last=channels_last)
        self.add(node, Lookup(table), [source], to, channels_last=channels_last, reason=reason)
        for codes in to.codes:
            self._tables[codes] = (x.codes, table)

    # --- lowering -----------------------------------------------------------------

    def _lower(self, node: ir.Node) -> None:
        try:
            self._add_steps_of(node)
        except Unsupported as reason:
            self._foreign.add(node, str(reason), self)
        except (ValueError, TypeError) as error:
            label = f"node {node.name!r} ({node.op_type})"
            if str(error).startswith("node "):  # this one, or one without a kernel that it reads
                raise
            raise type(error)(f"{label}: {error}") from error

    def _add_steps_of(self, node: ir.Node) -> None:
        if node.domain == "":
            if node.op_type == "Constant" and constant_of(node.outputs[0]) is not None:
                return
            if node.op_type == "DequantizeLinear" and self._defer(node):
                return
            if node.op_type == "QuantizeLinear" and self._quantize(node):
                return
            if node.op_type in ("QuantizeLinear", "DequantizeLinear") and self._convert_by_computed(node):
                return
        if node.domain == "" and node.op_type in BODIES:
            lower_bodies(node, self, self._body)
            return
        if done := self._groups.lower(node, self):
            self._done.update(done)
            return
        operator = get_operator(node.op_type) if node.domain == "" else None
        if operator is None:
            raise Unsupported(f"{node.domain + '.' if node.domain else ''}{node.op_type} has no kernel")
        if obstacle := operator.obstacle(node):
            raise Unsupported(obstacle)
        operator.lower(node, self)

    def _body(self, graph: ir.Graph, captured: Sequence[ir.Value]) -> Program:
        """A graph in a node. Where ONNX Runtime takes nodes without a kernel, it takes the node they are in as a whole:
        one call, instead of one in every iteration."""
        takes_whole = self._fallback == "onnxruntime" or (self._fallback == "auto" and has_onnxruntime())
        fallback = "none" if takes_whole else self._fallback
        inner = Builder(
            self._model,
            (),
            fallback,
            self._num_threads,
            algorithm=self.algorithm,
            budget=self.budget,
            body=graph,
            captured=captured,
        )
        return Program(inner.steps, inner.inputs, [slot for _, slot in inner.outputs], {})

    def _defer(self, node: ir.Node) -> bool:
        """Remembers what a DequantizeLinear computes; False where its parameters aren't constant."""
        params, codes = params_of(node), node.inputs[0]
        if params is None or codes is None:
            return False
        self._quantized[node.outputs[0]] = Quantized(codes, params)
        return True

    def _quantize(self, node: ir.Node) -> bool:
        """Adds what a QuantizeLinear computes; False where its parameters aren't constant or not of 8 bits."""
        params, x = params_of(node), node.inputs[0]
        if params is None or params.dtype.name not in CODES or x is None or not (x.dtype is None or self.is_float(x)):
            return False
        output = node.outputs[0]
        source = self.codes(x)
        if source is not None and params.axis is None:
            if source.params.same_as(params):
                channels_last = self._is_channels_last(source.codes)
                self._slots[output] = {channels_last: self.read_codes(source, channels_last=channels_last)}
                return True
            every = np.arange(256, dtype=np.uint8).view(source.params.dtype)
            real = _core.dequantize(every, source.params.scale, source.params.zero_point)
            table = _core.quantize(real, params.scale, params.zero_point, dtype=params.dtype)
            self.add_table(node, source, table, Destination(output, params=params, codes=(output,)))
            return True
        channels_last = params.axis is None and self.channels_last(x)
        slot = self.read(x, channels_last=channels_last)
        self.add(node, Quantize(params), [slot], kind="convert", channels_last=channels_last)
        return True

    def _convert_by_computed(self, node: ir.Node) -> bool:
        """Adds a QuantizeLinear or DequantizeLinear whose parameters another node computes; False where its types have
        no kernel."""
        import onnx_ir as ir

        x, scale, given = (*node.inputs, None)[:3]
        codes = x if node.op_type == "DequantizeLinear" else node.outputs[0]
        types = {ir.DataType.INT8, ir.DataType.UINT8}
        if node.op_type == "DequantizeLinear":
            types.add(ir.DataType.INT32)
        if scale is None or scale.dtype != ir.DataType.FLOAT or codes is None or codes.dtype not in types:
            return False
        if scale.shape is not None and len(scale.shape) > 1:
            return False
        if not has_kernel(node) or x is None or (node.op_type == "QuantizeLinear" and not self.is_float(x)):
            return False
        axis = node.attributes.get_int("axis", 1)
        if node.op_type == "QuantizeLinear":
            call: Call = QuantizeBy(axis, np.dtype(codes.dtype.numpy()))
        else:
            call = DequantizeBy(axis)
        inputs = [self.read(value) for value in (x, scale, given) if value is not None]
        self.add(node, call, inputs, kind="convert", reason="its parameters are computed")
        return True

    def _dequantized(self, value: ir.Value, channels_last: bool) -> Slot:
        quantized = self._quantized[value]
        params = quantized.params
        if params.axis is not None and channels_last:
            return self._reordered(self.read(value))
        source, slot = self.read_codes(quantized, channels_last=channels_last), Slot(value.name or "", channels_last)
        call = Dequantize(params)
        self.steps.append(Step(value.name or "", "DequantizeLinear", "convert", "", (source,), (slot,), call))
        return slot

    def _reordered(self, source: Slot, flattened: int = 0) -> Slot:
        slot = Slot(source.name, not source.channels_last)
        call = ChannelsFirstColumns(flattened) if flattened else ChangeLayout(slot.channels_last)
        self.steps.append(Step(source.name, "Transpose", "convert", "order of axes", (source,), (slot,), call))
        return slot

    def _is_channels_last(self, value: ir.Value) -> bool:
        return True in self._slots.get(value, {}) and value not in self._flattened

    def _stored(self, value: ir.Value) -> ir.Value:
        """The value whose slots hold `value`: the codes behind it, unless it was computed as float."""
        quantized = self._quantized.get(value)
        return value if quantized is None or self._slots.get(value) else quantized.codes

    def _observed_slots(self) -> dict[Slot, str]:
        """The slot that holds each observed value first, in whatever order of axes."""
        values = {value.name: value for node in self._graph for value in node.outputs}
        values.update({value.name: value for value in self._graph.inputs})
        taps: dict[Slot, str] = {}
        for name in self._observed:
            if name not in values:
                raise ValueError(f"observe: the graph has no value {name!r}")
            value = values[name]
            slots = self._slots.get(value)
            taps[next(iter(slots.values())) if slots and value not in self._flattened else self.read(value)] = name
        return taps

    def _why_float(self, node: ir.Node) -> str:
        data = [value for value in node.inputs if value is not None and constant_of(value) is None]
        if not any(value in self._quantized for value in data):
            return "its input is not quantized"
        return "its output is not quantized"
