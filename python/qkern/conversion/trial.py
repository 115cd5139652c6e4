"""Candidates for the int8 model, measured against the float one on samples that they weren't fitted to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..calibration import CalibrationTable
from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from ..target import Target
from .convert import convert
from .cross_layer_equalization import Equalized
from .input_grid import InputGrid, restore_inputs
from .network import Network
from .range_search import ChosenRanges
from .report import ConversionReport, CorrectionReport
from .weights import QuantizedWeight

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from ..calibration.data import Feed

__all__ = ["Pair", "Stage", "State", "Trial"]

Stage: TypeAlias = "Callable[[str], object]"
Pair: TypeAlias = "tuple[Feed, list[NDArray[Any]]]"  # inputs, and what the float model makes of them


@dataclass
class State:
    """Float network, table, method and weights that the int8 model is made from; `sqnr` of that on the samples."""

    network: Network
    table: CalibrationTable
    method: str
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict)
    float_outputs: bool = False
    methods: Mapping[str, str] = field(default_factory=dict)  # of single tensors
    equalized: tuple[Equalized, ...] = ()
    grids: tuple[InputGrid, ...] = ()  # the model is a function of moved inputs
    with_biases: Callable[[Collection[str]], Network] | None = None  # corrected biases but for those nodes'
    sqnr: float = -np.inf
    noise: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # of each sample

    @property
    def ranges(self) -> ChosenRanges:
        """What `convert` asks for parameters."""
        return ChosenRanges(self.table, self.methods, {grid.name: grid.params for grid in self.grids})


class Trial:
    """Measures candidates against the float model on `samples` and keeps the better one."""

    def __init__(
        self,
        network: Network,
        samples: Sequence[Feed],
        target: Target,
        execution: Execution,
        stage: Stage,
        count: Callable[[Feed], int],
    ) -> None:
        self.target, self.execution, self.stage, self.count = target, execution, stage, count
        self.reports: list[CorrectionReport] = []
        self._judges = self.with_outputs(network, samples)

    def with_outputs(self, network: Network, samples: Sequence[Feed]) -> list[Pair]:
        """`samples` and what the float `network` makes of them."""
        session = self.execution.session(network.model, fused=True)
        return [(feed, session.run(None, feed)) for feed in samples]

    def noise(self, state: State, pairs: Sequence[Pair] | None = None) -> tuple[float, NDArray[np.float64]]:
        """Of the int8 model's outputs, on the judging samples or on `pairs`: SQNR in dB, and each sample's noise."""
        return self.noise_of(self.convert(state)[0], pairs)

    def noise_of(self, quantized: ir.Model, pairs: Sequence[Pair] | None = None) -> tuple[float, NDArray[np.float64]]:
        """The same of a model that is converted."""
        session = self.execution.session(quantized, fused=True)
        signal, noise = 0.0, []
        for feed, expected in self._judges if pairs is None else pairs:
            count = self.count(feed)
            of_feed = np.zeros(count)
            for f, q in zip(expected, session.run(None, feed), strict=True):
                if holds_floats(f):
                    signal += float(np.square(f.astype(np.float64)).sum())
                    squares = np.square(f.astype(np.float64) - q.astype(np.float64))
                    rows = squares.ndim and len(squares) == count
                    of_feed += squares.reshape(count, -1).sum(axis=1) if rows else squares.sum() / count
            noise.append(of_feed)
        by_sample = np.concatenate(noise)
        total = float(by_sample.sum())
        if total == 0:
            return float("inf"), by_sample
        return float(10 * np.log10(signal / total)) if signal > 0 else float("-inf"), by_sample

    def convert(self, state: State, without: Collection[str] = ()) -> tuple[ir.Model, ConversionReport]:
        """The int8 model of `state`, with the nodes named by `without` in float."""
        network = state.network
        if without:
            network = network.without(without) if state.with_biases is None else state.with_biases(without)
        quantized, report = convert(
            network,
            state.ranges,
            self.target,
            method=state.method,
            weights=state.weights,
            float_outputs=state.float_outputs,
        )
        restore_inputs(quantized, state.grids)
        return quantized, report

    def better(self, name: str, now: State, candidate: State, note: str = "", *, significant: bool = False) -> State:
        """`candidate` where its outputs are nearer than those of `now`, else `now`; writes it down.
        `significant`: nearer by more than the standard error of that over the samples, for what was chosen among
        thousands."""
        candidate.sqnr, candidate.noise = self.noise(candidate)
        gain = now.noise - candidate.noise
        error = float(gain.std(ddof=1)) * gain.size**0.5 if gain.size > 1 and significant else 0.0
        kept = float(gain.sum()) > error
        self.reports.append(CorrectionReport(name, now.sqnr, candidate.sqnr, kept, note))
        return candidate if kept else now

    def demanded(self, name: str, now: State, candidate: State) -> State:
        """`candidate`, whatever it costs; writes down what that is."""
        candidate.sqnr, candidate.noise = self.noise(candidate)
        self.reports.append(CorrectionReport(name, now.sqnr, candidate.sqnr, True, "demanded"))
        return candidate
