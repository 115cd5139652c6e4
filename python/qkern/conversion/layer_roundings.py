"""The layers of a float network, what they see of the samples, and the ways to round their weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from .adaround import round_weights
from .bias_correction import correct_biases
from .codebooks import fit_codebooks
from .cross_layer_equalization import ChannelObserver
from .input_grid import InputGrid
from .network import Network
from .observation import Taps, observe
from .trial import State, Trial
from .weight_clipping import clip_weights
from .weight_formats import WeightFormat
from .weights import QuantizedWeight, nearest_weights
from .windows import Moments, moment_taps

if TYPE_CHECKING:
    from ..calibration.data import Feed
    from ..scheme import Scheme

__all__ = ["Layers", "Rounding", "clipped", "nearest", "rounded", "rounded_after_clipping"]

Rounding: TypeAlias = "Callable[[Layers], dict[str, QuantizedWeight]]"


class Layers:
    """The layers of a float model that are not corrected yet, and what they see of the samples. `grids`: those of its
    inputs that have moved. `formats`: of the layers whose weights get 4 bits, by node name."""

    def __init__(
        self,
        trial: Trial,
        network: Network,
        samples: Iterable[Feed],
        *,
        covariance: bool,
        grids: tuple[InputGrid, ...] = (),
        equalized: bool = False,
    ) -> None:
        self._trial = trial
        self.grids = grids
        self.network = network
        self.layers = list(network.plan.layers.values())
        self.moments: dict[str, Moments] = {}
        self.covariance = covariance
        self.formats: Mapping[str, WeightFormat] = {}
        self.channels = ChannelObserver(network.plan)
        self.see(samples, {} if equalized else self.channels.taps)

    @property
    def scheme(self) -> Scheme:
        """That of the weights."""
        return self._trial.target.weight

    @property
    def safe(self) -> bool:
        """Whether weights have to be safe from saturation."""
        return self._trial.target.safe_weights

    def moved(self, samples: Iterable[Feed]) -> Iterator[Feed]:
        """Samples as the model takes them."""
        for feed in samples:
            for grid in self.grids:
                feed = grid.moved(feed)
            yield feed

    def see(self, samples: Iterable[Feed], also: Taps) -> None:
        """Adds samples to the moments, and shows them to others."""
        self._fitted: dict[str, QuantizedWeight] = {}
        taps = moment_taps(self.layers, self.moments, covariance=self.covariance)
        observe(self.network.model, self.moved(samples), taps, also, execution=self._trial.execution)

    def coded(self, weights: dict[str, QuantizedWeight]) -> dict[str, QuantizedWeight]:
        """`weights` of 8 bits, with those of 4 bits in the place of some."""
        missing = {name: form for name, form in self.formats.items() if name not in self._fitted}
        self._fitted |= fit_codebooks(self.layers, missing, self.scheme, self.moments, safe=self.safe)
        return weights | {name: self._fitted[name] for name in self.formats}

    def corrected(self, state: State, rounding: Rounding) -> State:
        """`state` with the weights that `rounding` gives, and biases that go with them."""
        weights = rounding(self)

        def with_biases(without: Collection[str]) -> Network:
            network = self.network.without(without).copy()
            correct_biases(network.model, list(network.plan.layers.values()), weights, self.moments)
            return Network.planned(network.model, network.exclude)

        return replace(state, network=with_biases(()), weights=weights, with_biases=with_biases)


def nearest(layers: Layers) -> dict[str, QuantizedWeight]:
    return layers.coded(nearest_weights(layers.layers, layers.scheme, safe=layers.safe))


def clipped(layers: Layers) -> dict[str, QuantizedWeight]:
    weights = nearest_weights(layers.layers, layers.scheme, safe=layers.safe)
    return layers.coded(clip_weights(layers.layers, weights, layers.moments, layers.scheme, safe=layers.safe))


def rounded(layers: Layers) -> dict[str, QuantizedWeight]:
    return round_weights(layers.layers, nearest(layers), layers.moments, layers.scheme, safe=layers.safe)


def rounded_after_clipping(layers: Layers) -> dict[str, QuantizedWeight]:
    return round_weights(layers.layers, clipped(layers), layers.moments, layers.scheme, safe=layers.safe)
