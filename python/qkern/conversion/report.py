"""What conversion did to every layer of the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ConversionReport", "CorrectionReport", "LayerReport"]


@dataclass(frozen=True)
class LayerReport:
    """One node of the float graph.

    `reason` says why a layer stays float; for a quantized one it holds what is worth knowing (an activation that went
    away, channels whose weight scale was changed) or is empty. `scale` and `zero_point` are those of the output;
    `weight_shape` is None for a layer without a constant weight. `saturation_safe` says whether its codes are proven
    safe from saturation (conversion/saturation.py), `scale_factor` how many times as large safe scales are as the
    smallest, in the mean over the channels, and `noise_db` by how much that raises the noise of the weights, rounded to
    nearest; None where that wasn't asked for, for a layer whose weights have no order to be safe in, and the last two
    for weights of 4 bits. `weight_format` is "int8" or one of 4 bits, `weight_bytes` what codes, tables, scales and
    zero points take in the file; None for a layer whose weights stay float.
    """

    name: str
    op_type: str
    quantized: bool
    reason: str = ""
    weight_shape: tuple[int, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None
    saturation_safe: bool | None = None
    scale_factor: float | None = None
    noise_db: float | None = None
    weight_format: str | None = None
    weight_bytes: int | None = None


@dataclass(frozen=True)
class CorrectionReport:
    """A correction that was tried: SQNR of the model's outputs on calibration samples `before` and `after` it, in dB,
    and whether that was enough to keep it. `note` says what it did."""

    name: str
    before: float
    after: float
    kept: bool
    note: str = ""


@dataclass(frozen=True)
class ConversionReport:
    """Every node that computes floats, in the order of the graph; integer shape arithmetic isn't listed. `notes` say
    what holds for the whole model, `warnings` what has been lost: the outputs were compared with the float model's on
    `judged` samples (0: there were none), where all of them together have an SQNR of `sqnr_db`."""

    target: str
    method: str
    layers: tuple[LayerReport, ...]
    corrections: tuple[CorrectionReport, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    judged: int = 0
    sqnr_db: float | None = None

    @property
    def quantized(self) -> tuple[LayerReport, ...]:
        """The layers that run in int8."""
        return tuple(layer for layer in self.layers if layer.quantized)

    @property
    def saturation(self) -> str:
        """In words: how many layers have weights that are safe from saturation, and what that costs; "" where it wasn't
        asked for."""
        layers = [layer for layer in self.layers if layer.saturation_safe is not None]
        if not layers:
            return ""
        words = (
            f"none on AVX2 in {sum(bool(layer.saturation_safe) for layer in layers)} of {len(layers)} layers with "
            "weights, whatever runs them"
        )
        factors = [layer.scale_factor for layer in layers if layer.scale_factor is not None]
        noises = [layer.noise_db for layer in layers if layer.noise_db is not None]
        if not factors or not noises:
            return words
        return (
            f"{words}; scales {min(factors):.2f} to {max(factors):.2f} times the smallest, weights' rounding noise "
            f"{sum(noises) / len(noises):+.1f} dB"
        )

    @property
    def weights(self) -> str:
        """In words: how many layers have weights of 4 bits, and what the weights of all take; "" where none has."""
        layers = [layer for layer in self.layers if layer.weight_bytes is not None]
        formats = Counter(layer.weight_format for layer in layers)
        of_four_bits = [f"{name} in {count}" for name, count in formats.items() if name != "int8"]
        if not of_four_bits:
            return ""
        stored = sum(layer.weight_bytes or 0 for layer in layers)
        return (
            f"4 bits ({', '.join(of_four_bits)}) of {len(layers)} layers with weights; {stored:,} bytes with tables, "
            "scales and zero points"
        )

    @property
    def left_float(self) -> tuple[LayerReport, ...]:
        """The layers that stay float, each with its reason."""
        return tuple(layer for layer in self.layers if not layer.quantized)

    def __iter__(self) -> Iterator[LayerReport]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)
