"""Runs ONNX models: int8 where they are quantized, float32 elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..fusion import fuse
from ..fusion.clean import complete_shapes
from ..model_file import Folder, ModelSource, fix_defaults, load_model
from ..program import Algorithm, Step
from .builder import Builder
from .clock import Clock
from .executor import Executor
from .foreign_nodes import Fallback
from .interpreter import Tap, interpret
from .lookups import expand_lookups
from .program import Program
from .qoperator import expand_qoperators
from .signature import InputSpec, checked_feeds, input_specs, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..profiling import Profile

__all__ = ["Execution", "Session"]


class Session:
    """A model made ready to run.

    `model`: a path, the bytes of a file, an `onnx.ModelProto` or an `onnx_ir.Model` (left as it is): QDQ, QOperator or
    float32 ONNX. What has no int8 kernel runs in float; `steps` lists each with its reason. `num_threads`: None is
    `qkern.get_num_threads()` at each run; results don't depend on it.

    `fallback` is where nodes without a kernel run. "auto": in ONNX Runtime where that is installed (extra "fallback")
    and takes them, else through `onnx.reference` where that is known to be right; "onnxruntime" and "reference": there
    or nowhere; "none": nowhere. Their results are as reproducible as that library's.

    `algorithm`: "auto" computes each 3x3 int8 convolution as is fastest for its images, by Winograd in integers where
    that is exact, which gives the same bytes and packs its weights to up to 8 times their size, altogether to no more
    than 4 times their size and 4 MB (`packed_bytes`);
    "direct" keeps them at theirs.

    `external_data`: the folder of the tensors that the model keeps in files, where that isn't the model's own, or where
    it has links that lead out of it. Without it the files have to be in the folder of the model or below it.

    An initializer that is listed as an input (IR version 4 on) is a constant until a run feeds it; from then on the
    session also holds a program for which it is an input. `steps` are those of the program without.

    With `observe`, names of float values of the graph, the model is run as it is, without fusion, and `observe()` shows
    these values. So it is where it has been `fused`, or converted from such a one, and not changed since.

    Raises FileNotFoundError or ValueError where the model can't be read, ValueError naming a node that can't run. A
    session may be used from several threads.
    """

    def __init__(
        self,
        model: ModelSource,
        num_threads: int | None = None,
        *,
        observe: Sequence[str] = (),
        fallback: Fallback = "auto",
        algorithm: Algorithm = "auto",
        external_data: Folder = None,
        fused: bool = False,
    ) -> None:
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {num_threads}")
        if algorithm not in get_args(Algorithm):
            raise ValueError(f"algorithm {algorithm!r} is none of {', '.join(get_args(Algorithm))}")
        self._threads, self._algorithm = num_threads, algorithm
        self._observed, self._fallback = tuple(observe), fallback
        self._fed: tuple[frozenset[str], Session] | None = None
        with _collecting_once():
            self._build(model, external_data, fused)
        if not fused:  # a trial, one of many: the next one will want the memory
            _core.return_free_memory()

    def _build(self, model: ModelSource, external_data: Folder, fused: bool) -> None:
        observe = self._observed
        graph = load_model(model, external_data)
        specs = input_specs(graph, with_defaults=True)  # before passes that infer more than the file says
        whole = graph.clone() if any(value.is_initializer() for value in graph.graph.inputs) else None
        defaults = fix_defaults(graph)
        if not fused:
            expand_qoperators(graph)
        else:
            complete_shapes(graph)
        expand_lookups(graph)
        if not observe and not fused:
            fuse(graph)
        builder = Builder(graph, observe, self._fallback, self._threads, algorithm=self._algorithm)
        self.steps: tuple[Step, ...] = tuple(builder.steps)
        self._specs = {spec.name: spec for spec in specs if spec.name in builder.inputs or spec.name in defaults}
        self._defaults = frozenset(defaults)
        self._whole = whole if defaults else None  # what to build from for a run that feeds some of them
        self._outputs = [name for name, _ in builder.outputs]
        slots = [slot for _, slot in builder.outputs]
        self._program = Program(builder.steps, builder.inputs, slots, builder.taps)
        self._executor = Executor(self._program)
        self._output_specs = [spec_of(value) for value in graph.graph.outputs]

    def get_inputs(self) -> list[InputSpec]:
        """What has to be fed: name, dtype and shape of each input."""
        return [spec for name, spec in self._specs.items() if name not in self._defaults]

    def get_outputs(self) -> list[InputSpec]:
        """Name, dtype and shape of each output."""
        return list(self._output_specs)

    @property
    def packed_bytes(self) -> int:
        """Of the weights as kernels read them. Convolutions for which images decide are packed for the first of each
        size."""
        return sum(layer.nbytes for step in self.steps for layer in step.call.layers())

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[NDArray[Any]]:
        """Outputs for `feeds` (arrays by input name): all, or those in `output_names`, in that order. A sequence is a
        list of arrays, an optional without a value None.

        Raises ValueError naming an input that is missing, unknown, or of another dtype or shape than the model takes,
        or an output that it doesn't have.
        """
        known = self._outputs
        for name in output_names or ():
            if name not in known:
                raise ValueError(f"the model has no output {name!r}; its outputs are {', '.join(map(repr, known))}")
        results = self._executor.again(feeds, self._threads)
        if results is None:
            results = self._run(feeds)
        return results if output_names is None else [results[known.index(name)] for name in output_names]

    def profile(
        self,
        feeds: Mapping[str, Any],
        *,
        seconds: float = 1.0,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> Profile:
        """Runs `feeds` for about `seconds` (three times or more), and times each step beside what the processor could
        do at best, which it measures too. `progress(done, total)` is told of each run.

        The result prints as a table; it has `steps`, `total`, `overhead`, `summary` and `to_json()`. Raises what `run`
        raises.
        """
        from .profiler import profiled

        if fed := self._defaults.intersection(feeds):
            return self._feeding(fed).profile(feeds, seconds=seconds, progress=progress)
        arrays = checked_feeds(feeds, self._specs, self._defaults)

        def run(clock: Clock) -> None:
            if self._executor.again(feeds, self._threads, clock) is None:
                self._run(feeds, clock)

        with _limited_to(self._threads):
            return profiled(self._program, arrays, run, seconds, progress)

    def observe(self, feeds: Mapping[str, Any], tap: Tap) -> None:
        """Runs `feeds` and calls `tap(name, array)` for every observed value. The array is valid during the call; it
        has the value's order of axes but may be a view of one that is stored in another."""
        if fed := self._defaults.intersection(feeds):
            return self._feeding(fed).observe(feeds, tap)
        arrays = checked_feeds(feeds, self._specs, self._defaults)
        with _limited_to(self._threads), np.errstate(all="ignore"):  # ONNX defines what infinities and NaN give
            interpret(self._program, arrays, tap)

    def _run(self, feeds: Mapping[str, Any], clock: Clock | None = None) -> list[NDArray[Any]]:
        if fed := self._defaults.intersection(feeds):
            return self._feeding(fed)._run(feeds, clock)
        arrays = checked_feeds(feeds, self._specs, self._defaults)
        with _limited_to(self._threads):
            return self._executor.run(arrays, clock)

    def _feeding(self, names: frozenset[str]) -> Session:
        """The session of this model in which the defaults in `names` are inputs; the latest one is kept."""
        latest = self._fed
        if latest is None or latest[0] != names:
            assert self._whole is not None
            graph = self._whole.clone()
            for name in names:
                graph.graph.initializers.pop(name).const_value = None
            session = Session(
                graph, self._threads, observe=self._observed, fallback=self._fallback, algorithm=self._algorithm
            )
            latest = self._fed = names, session
        return latest[1]


@dataclass(frozen=True)
class Execution:
    """How a job runs its models: `num_threads` and `fallback` of `Session`."""

    num_threads: int | None = None
    fallback: Fallback = "auto"

    def session(self, model: ModelSource, observe: Sequence[str] = (), *, fused: bool = False) -> Session:
        """A session of `model`."""
        return Session(model, self.num_threads, observe=observe, fallback=self.fallback, fused=fused)


@contextmanager
def _collecting_once() -> Iterator[None]:
    """A graph is cycles of objects, which hold the weights of the file: they are collected when it is done with,
    instead of looked at many times while it is worked on and left for later."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
            gc.collect(0)


@contextmanager
def _limited_to(threads: int | None) -> Iterator[None]:
    """Kernels called by this thread use `threads` threads."""
    if threads is None:
        yield
        return
    before = _core.limit_num_threads(threads)
    try:
        yield
    finally:
        _core.limit_num_threads(before)
