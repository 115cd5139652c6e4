"""If, Loop and Scan: their bodies are programs of ours, run as often as values say.

A body reads its inputs, and values of the graphs around it: these are operands of the call, behind the node's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..program import Call, Kind, Lowering, Step, Unsupported, axis_in
from .executor import Executor
from .program import Program
from .subgraph import captured_by

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["BODIES", "lower_bodies"]

BODIES = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
_SCAN_ATTRIBUTES = ("scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions")
_Arrays = Sequence[NDArray[Any]]


def lower_bodies(node: ir.Node, lowering: Lowering, build: Callable[[ir.Graph, Sequence[ir.Value]], Program]) -> None:
    """Adds the step of an If, Loop or Scan; `build` lowers a body, which reads these values of outer graphs.

    Raises `Unsupported`, before it has added anything, where a body can't be lowered.
    """
    names = BODIES[node.op_type]
    known = {*names, *(("num_scan_inputs", *_SCAN_ATTRIBUTES) if node.op_type == "Scan" else ())}
    graphs = [attribute.as_graph() for name in names if (attribute := node.attributes.get(name)) is not None]
    if len(graphs) != len(names) or not known.issuperset(node.attributes):
        raise Unsupported("its attributes are not those of a kernel")
    captured = [value for value in captured_by(node) if lowering.constant(value) is None]
    bodies: list[_Body] = []
    steps: list[Step] = []
    for graph in graphs:
        for value in (*captured, *graph.inputs, *graph.outputs):
            if not _is_tensor(value):
                raise Unsupported(f"{value.name!r}, in its body, is not known to be a tensor of numbers")
        try:
            program = build(graph, captured)
        except (ValueError, TypeError) as error:
            what, _, without_kernel = str(error).partition(" can't run: ")
            raise Unsupported(f"{what}, in its body, has no kernel" if without_kernel else str(error)) from error
        steps += program.steps
        bodies.append(_Body.of(graph, program, [value.name or "" for value in captured]))
    call = _call_of(node, bodies)
    inputs = [lowering.read(value) for value in node.inputs if value is not None]
    outer = [lowering.read(value) for value in captured]
    inner = graphs[0].outputs[1:] if node.op_type == "Loop" else graphs[0].outputs
    for output, like in zip(node.outputs, inner, strict=False):  # the last ones may be left out
        output.type = output.type or like.type
    kind, reason = _described(steps)
    lowering.add(node, call, [*inputs, *outer], kind=kind, reason=reason)


def _is_tensor(value: ir.Value) -> bool:
    import onnx_ir as ir

    return isinstance(value.type, ir.TensorType) and value.dtype != ir.DataType.STRING


def _described(steps: Sequence[Step]) -> tuple[Kind, str]:
    """Of a step that runs these ones; a library's name, where that computes one of them."""
    foreign = [step for step in steps if step.kind in ("reference", "onnxruntime")]
    if not foreign:
        return "float", "its body is a program of its own"
    return foreign[0].kind, "in its body: " + "; ".join(dict.fromkeys(step.reason for step in foreign))


@dataclass(frozen=True, eq=False)
class _Body:
    """A graph as a program. `inputs`: name, number of axes and type, and `outputs`: shape and type, with None for what
    the graph doesn't say; `captured`: names of the values of outer graphs that it reads."""

    executor: Executor
    inputs: tuple[tuple[str, int | None, np.dtype[Any]], ...]
    outputs: tuple[tuple[tuple[int | None, ...] | None, np.dtype[Any]], ...]
    captured: tuple[str, ...]

    @classmethod
    def of(cls, graph: ir.Graph, program: Program, captured: Sequence[str]) -> _Body:
        """The body whose steps are those of `program`."""
        inputs = [
            (value.name or "", None if value.shape is None else len(value.shape), _dtype_of(value))
            for value in graph.inputs
        ]
        outputs = [(_sizes_of(value), _dtype_of(value)) for value in graph.outputs]
        return cls(Executor(program), tuple(inputs), tuple(outputs), tuple(captured))

    def run(self, given: _Arrays, outer: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Its outputs, of memory of their own."""
        feeds = dict(outer)
        for (name, rank, dtype), array in zip(self.inputs, given, strict=True):
            if array.dtype != dtype or (rank is not None and array.ndim != rank):
                axes = "" if rank is None else f" with {rank} axes"
                raise ValueError(f"{name!r} of its body gets {array.dtype}{list(array.shape)}, not {dtype}{axes}")
            feeds[name] = array
        results = self.executor.again(feeds)
        return self.executor.run(feeds) if results is None else results

    def number(self, index: int, value: int | bool) -> NDArray[Any]:
        """`value` as the input at `index` takes it: with no axes, or some of size 1."""
        _, rank, dtype = self.inputs[index]
        return np.array(value, dtype, ndmin=rank or 0)

    def stacked(self, index: int, parts: _Arrays, axis: int = 0) -> NDArray[Any]:
        """What the output at `index` was in each run, along a new axis; sizes that aren't known are 0 in none."""
        if parts:
            return np.stack(parts, axis)
        shape, dtype = self.outputs[index]
        sizes = [size or 0 for size in shape or ()]
        sizes.insert(axis if axis >= 0 else len(sizes) + 1 + axis, 0)
        return np.empty(sizes, dtype)


def _dtype_of(value: ir.Value) -> np.dtype[Any]:
    assert value.dtype is not None
    return np.dtype(value.dtype.numpy())


def _sizes_of(value: ir.Value) -> tuple[int | None, ...] | None:
    return None if value.shape is None else tuple(size if isinstance(size, int) else None for size in value.shape)


@dataclass(frozen=True, eq=False)
class _ControlFlow(Call):
    """`kept`: which of all results are outputs of the node, which may leave some out."""

    takes_out: ClassVar[bool] = False
    depends_on_values: ClassVar[bool] = True
    bodies: tuple[_Body, ...]
    kept: tuple[int, ...]

    def results(self, arrays: _Arrays, outer: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All of them, of memory of their own, for the node's inputs and what the bodies read of outer graphs."""
        raise NotImplementedError

    def __call__(self, *arrays: NDArray[Any]) -> Any:
        names = self.bodies[0].captured
        inputs, outer = arrays[: len(arrays) - len(names)], arrays[len(arrays) - len(names) :]
        results = self.results(inputs, dict(zip(names, outer, strict=True)))
        kept = tuple(results[index] for index in self.kept)
        return kept[0] if len(kept) == 1 else kept


@dataclass(frozen=True, eq=False)
class _If(_ControlFlow):
    def results(self, arrays: _Arrays, outer: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        (condition,), (then, otherwise) = arrays, self.bodies
        return (then if condition.item() else otherwise).run((), outer)


@dataclass(frozen=True, eq=False)
class _Loop(_ControlFlow):
    """A condition that isn't given is true at first. What the body says of it counts, as in ONNX's reference and ONNX
    Runtime; the operator's text would ignore it there."""

    has_count: bool
    has_condition: bool

    def results(self, arrays: _Arrays, outer: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        (body,), given = self.bodies, list(arrays)
        count = given.pop(0).item() if self.has_count else None
        goes_on = bool(given.pop(0).item()) if self.has_condition else True
        states = [each.copy() for each in given]
        scans: list[list[NDArray[Any]]] = [[] for _ in body.outputs[1 + len(states) :]]
        done = 0
        while goes_on and (count is None or done < count):
            inputs = [body.number(0, done), body.number(1, goes_on), *states]
            condition, *results = body.run(inputs, outer)
            goes_on, states = bool(condition.item()), results[: len(states)]
            for parts, each in zip(scans, results[len(states) :], strict=True):
                parts.append(each)
            done += 1
        first = 1 + len(states)
        return [*states, *(body.stacked(first + index, parts) for index, parts in enumerate(scans))]


@dataclass(frozen=True, eq=False)
class _Scan(_ControlFlow):
    """`axes` and `backwards`: of what is read element by element, and of what is stacked."""

    input_axes: tuple[int, ...]
    input_backwards: tuple[bool, ...]
    output_axes: tuple[int, ...]
    output_backwards: tuple[bool, ...]

    def results(self, arrays: _Arrays, outer: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        (body,), count = self.bodies, len(arrays) - len(self.input_axes)
        states = [each.copy() for each in arrays[:count]]
        read = []
        for x, axis, backwards in zip(arrays[count:], self.input_axes, self.input_backwards, strict=True):
            elements = np.moveaxis(x, axis_in(axis, x.ndim, False), 0)
            read.append(elements[::-1] if backwards else elements)
        lengths = {len(each) for each in read}
        if len(lengths) != 1:
            raise ValueError(f"what it scans has {', '.join(map(str, sorted(lengths)))} elements: not as many of each")
        scans: list[list[NDArray[Any]]] = [[] for _ in self.output_axes]
        for element in range(*lengths):
            results = body.run([*states, *(np.array(each[element, ...], order="C") for each in read)], outer)
            states = results[:count]
            for parts, result in zip(scans, results[count:], strict=True):
                parts.append(result)
        stacked = []
        for index, (parts, axis, backwards) in enumerate(
            zip(scans, self.output_axes, self.output_backwards, strict=True)
        ):
            stacked.append(body.stacked(count + index, parts[::-1] if backwards else parts, axis))
        return [*states, *stacked]


def _call_of(node: ir.Node, bodies: Sequence[_Body]) -> Call:
    """Raises `Unsupported` where the node and its bodies don't have the inputs and outputs that belong together."""
    kept = tuple(index for index, output in enumerate(node.outputs) if output.name)
    given = len(node.inputs)
    inputs, outputs = len(bodies[0].inputs), len(bodies[0].outputs)
    if node.op_type == "If":
        fits = given == 1 and all(not each.inputs and len(each.outputs) == len(node.outputs) for each in bodies)
        call: Call = _If(tuple(bodies), kept)
    elif node.op_type == "Loop":
        count, condition, *states = [*node.inputs, None, None][: max(given, 2)]
        fits = inputs == 2 + len(states) and outputs >= 1 + len(states) and len(node.outputs) < outputs
        fits = fits and None not in states
        call = _Loop(tuple(bodies), kept, count is not None, condition is not None)
    else:
        scanned = node.attributes.get_int("num_scan_inputs", 0)
        stacked = outputs - (given - scanned)
        fits = inputs == given and stacked >= 0 and 0 < scanned <= given and len(node.outputs) <= outputs
        fits = fits and None not in node.inputs
        lists = [
            tuple(node.attributes.get_ints(name, [0] * count))
            for name, count in zip(_SCAN_ATTRIBUTES, (scanned, scanned, stacked, stacked), strict=True)
        ]
        fits = fits and [len(each) for each in lists] == [scanned, scanned, stacked, stacked]
        backwards = [tuple(direction == 1 for direction in lists[index]) for index in (1, 3)]
        call = _Scan(tuple(bodies), kept, lists[0], backwards[0], lists[2], backwards[1])
    if not fits:
        raise Unsupported("its inputs and outputs are not those of its body")
    return call
