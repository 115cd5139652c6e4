"""The shapes: layers of the networks that int8 is used for, and a few that are awkward on purpose."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONV", "ELEMENTWISE", "GEMM", "Conv", "Elementwise", "Gemm"]


@dataclass(frozen=True)
class Gemm:
    """[rows, depth] x [depth, cols]."""

    rows: int
    cols: int
    depth: int
    group = "gemm"

    @property
    def name(self) -> str:
        return f"{self.rows}x{self.cols}x{self.depth}"

    @property
    def operations(self) -> int:
        return 2 * self.rows * self.cols * self.depth


@dataclass(frozen=True)
class Conv:
    """Batch 1, square images and kernels, padded so that stride 1 keeps the size."""

    channels: int
    filters: int
    kernel: int
    size: int
    stride: int = 1
    groups: int = 1
    dilation: int = 1

    @property
    def depthwise(self) -> bool:
        return self.groups == self.channels == self.filters

    @property
    def group(self) -> str:
        """What is wanted differs between these."""
        return "depthwise" if self.depthwise else "grouped" if self.groups > 1 else "conv"

    @property
    def padding(self) -> int:
        return self.dilation * (self.kernel - 1) // 2

    @property
    def output(self) -> int:
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def operations(self) -> int:
        return 2 * self.output**2 * self.filters * self.channels // self.groups * self.kernel**2

    @property
    def name(self) -> str:
        channels = f"{self.channels}" if self.channels == self.filters else f"{self.channels}->{self.filters}"
        kind = "dw " if self.depthwise else f"g{self.groups} " if self.groups > 1 else ""
        stride = f" s{self.stride}" if self.stride > 1 else ""
        dilation = f" d{self.dilation}" if self.dilation > 1 else ""
        return f"{kind}{self.kernel}x{self.kernel} {channels}{stride}{dilation} @{self.size}"


@dataclass(frozen=True)
class Elementwise:
    """An operator on this many elements, with one scale or one per channel."""

    operator: str
    elements: int
    per_channel: bool

    @property
    def group(self) -> str:
        return f"{self.operator} per {'channel' if self.per_channel else 'tensor'}"

    @property
    def size(self) -> str:
        return f"{self.elements >> 20} Mi" if self.elements >= 1 << 20 else f"{self.elements >> 10} Ki"

    @property
    def name(self) -> str:
        return f"{self.group} {self.size}"


GEMM = tuple(
    Gemm(*sizes)
    for sizes in (
        (512, 512, 512),
        (1024, 1024, 1024),
        (128, 768, 768),  # BERT
        (128, 3072, 768),
        (128, 768, 3072),
        (1, 4096, 4096),  # one token of a language model
        (1, 1000, 2048),  # classifiers
        (16, 1024, 1024),
        (3136, 64, 64),  # ResNet-50's 1x1 and 3x3 layers as matrices
        (3136, 256, 64),
        (196, 1024, 256),
        (49, 2048, 512),
        (784, 128, 1152),
        (196, 256, 2304),
        (3, 5, 7),  # all overhead
        (1, 100_000, 384),  # vector search: one query, 100,000 vectors of 384 numbers
        (64, 64, 64),
    )
)

CONV = (
    Conv(3, 64, 7, 224, stride=2),
    Conv(64, 64, 3, 56),
    Conv(128, 128, 3, 28),
    Conv(256, 256, 3, 14),
    Conv(512, 512, 3, 7),
    Conv(16, 16, 3, 32),  # ResNet-20
    Conv(32, 32, 3, 16),
    Conv(64, 64, 3, 8),
    Conv(64, 256, 1, 56),
    Conv(1024, 256, 1, 14),
    Conv(256, 512, 1, 56, stride=2),
    Conv(64, 64, 3, 56, dilation=2),
    Conv(32, 32, 3, 112, groups=32),
    Conv(144, 144, 3, 56, stride=2, groups=144),
    Conv(384, 384, 3, 14, groups=384),
    Conv(960, 960, 3, 7, groups=960),
    Conv(240, 240, 5, 28, groups=240),
    Conv(256, 256, 3, 14, groups=32),
)

ELEMENTWISE = tuple(
    Elementwise(operator, elements, per_channel)
    for operator in ("quantize", "dequantize", "requantize")
    for per_channel in (False, True)
    for elements in (4 << 10, 256 << 10, 16 << 20)
)
