"""The stages that make a model int8, in their order: what `quantize_model`, `analyze` and the demo have in common.

    1 fuse    2 define the formula    3 fit the target hardware    4 calibrate    5 convert weights

The first three are what `Stages` begins with; the graph that the others need is prepared and planned once, there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..calibration import CalibrationTable, HistogramObserver, Sampling, calibrate, observer_for
from ..fusion.float32 import compute_in_float32
from ..model_file import Folder, ModelSource, fix_defaults, load_model, model_bytes
from ..runtime.session import Execution
from ..target import Target, get_target
from .codebooks import fit_codebooks
from .convert import convert, tensors_to_observe
from .exclusions import Exclude, fused_exclusions
from .fused_names import FusedNames
from .network import Network
from .report import ConversionReport
from .unfit import unfit
from .weight_formats import EIGHT_BITS, WeightFormat, formats_of_layers

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration import KeptSamples, Observer
    from ..calibration.data import Data
    from ..calibration.stream import Progress
    from .weights import QuantizedWeight

__all__ = ["Stages"]


class Stages:
    """One float model on its way; arguments are those of `quantize_model`.

    `model` is the fused float graph and `network` that graph ready for conversion; the file had so many `nodes` and
    `bytes`. `names` says what fusion made of its nodes, `defaults` which inputs were taken as constants, `types` which
    types became float32. `target` and `method` are the formula, `sampling` what a sample is. `table` is there after
    stage 4, and so are the `formats` of the layers whose weights have 4 bits.

    Raises FileNotFoundError or ValueError where the model can't be read or is quantized already, ValueError for an
    unknown target, method or node.
    """

    table: CalibrationTable
    formats: dict[str, WeightFormat]

    def __init__(
        self,
        model: ModelSource,
        exclude: Exclude = (),
        *,
        target: str | Target = "auto",
        method: str | None = None,
        weights: str | Mapping[str, str] = EIGHT_BITS,
        samples: str | None = None,
        execution: Execution = Execution(),
        external_data: Folder = None,
    ) -> None:
        self.target = get_target(target)
        self.method = self.target.method if method is None else method
        own = observer_for(self.method)  # an unknown name fails here, not after the long part
        # Histograms tell what 8 bits can hold, whatever the method.
        self._observer = HistogramObserver if own.mergeable else own
        self._weights = weights
        self.execution = execution
        self.model = load_model(model, external_data)
        self.nodes, self.bytes = len(self.model.graph), model_bytes(model)
        self.defaults = fix_defaults(self.model)
        self.types = compute_in_float32(self.model)
        self.names = FusedNames(self.model)
        self.network = Network.of(self.model, fused_exclusions(self.names, exclude))
        self.sampling = Sampling.of(self.model, samples)
        self._tensors = tensors_to_observe(self.network)

    def observe(
        self,
        model: ir.Model,
        data: Data,
        *,
        observer: type[Observer] | None = None,
        progress: Progress | None = None,
        keep: KeptSamples | None = None,
        into: CalibrationTable | None = None,
    ) -> CalibrationTable:
        """What `data` makes of the tensors to be 8-bit in `model`, which is this one or a corrected one."""
        return calibrate(
            model,
            data,
            self._tensors,
            observer=self._observer if observer is None else observer,
            num_threads=self.execution.num_threads,
            fallback=self.execution.fallback,
            progress=progress,
            keep=keep,
            into=into,
            samples=self.sampling.samples,
        )

    def calibrate(
        self,
        data: Data,
        *,
        observer: type[Observer] | None = None,
        progress: Progress | None = None,
        keep: KeptSamples | None = None,
        into: CalibrationTable | None = None,
    ) -> CalibrationTable:
        """Stage 4: observes the float model. Raises as `calibration.calibrate` does."""
        self.take(self.observe(self.model, data, observer=observer, progress=progress, keep=keep, into=into))
        return self.table

    def take(self, table: CalibrationTable) -> None:
        """Stage 4, done before: ranges to convert with. What 8 bits can't hold stays float from here on."""
        self.table = table
        self.network = self.network.without(unfit(self.network.plan, table, self.target.activation, self.method))
        self.formats = formats_of_layers(self._weights, self.names, self.network.plan)
        if self.formats and not (self.target.weight.dtype == "int8" and self.target.weight.symmetric):
            given = f"the weights of target {self.target.name!r} are {self.target.weight.dtype}"
            raise ValueError(f"weights: levels are int8, {given}, symmetric: {self.target.weight.symmetric}")

    @cached_property
    def coded(self) -> dict[str, QuantizedWeight]:
        """The weights of 4 bits."""
        layers, target = list(self.network.plan.layers.values()), self.target
        return fit_codebooks(layers, self.formats, target.weight, {}, safe=target.safe_weights)

    def convert(self, in_float: Collection[str] = ()) -> tuple[ir.Model, ConversionReport]:
        """Stage 5: the int8 model, with the nodes named by `in_float` in float, and what became of each layer."""
        network = self.network.without(in_float)
        return convert(network, self.table, self.target, method=self.method, weights=self.coded)
