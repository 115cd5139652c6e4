"""The calls that move or select numbers: the same on codes and on floats, of any type.

In C++ they are copies of whole elements: of strided memory, of parts of rows, of rows by their indices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .call import Call, Form, moved

__all__ = [
    "ChangeLayout",
    "ChannelsFirstColumns",
    "Concatenate",
    "ExpandDims",
    "Flattened",
    "PadByCopies",
    "PadWith",
    "PixelShuffle",
    "Reshaped",
    "Sliced",
    "Squeezed",
    "Strided",
    "Transposed",
    "axis_in",
]

_KERNEL_DTYPES = frozenset(map(np.dtype, ("int8", "uint8", "int32", "float32")))
_Array = NDArray[Any]


def axis_in(axis: int, rank: int, channels_last: bool) -> int:
    """Where axis `axis` of the graph is in an array in that order of axes. Raises ValueError where it isn't one."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of an array with {rank} axes")
    axis %= rank
    if not channels_last or axis == 0:
        return axis
    return rank - 1 if axis == 1 else axis - 1


class _View(Call):
    """The numbers of its operand in another shape, in the same memory."""

    takes_out = False

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        """The shape for an operand of shape x."""
        raise NotImplementedError

    def __call__(self, x: _Array) -> _Array:
        return x.reshape(self.shape(x.shape))

    def forms(self, *operands: Form) -> tuple[Form]:
        (x,) = operands
        shape = self.shape(x.shape)
        if math.prod(shape) != x.size:
            raise ValueError(f"cannot reshape array of size {x.size} into shape {shape}")
        return (Form(shape, x.dtype),)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def alias(self, *operands: Form) -> int | None:
        return 0


@dataclass(frozen=True)
class Reshaped(_View):
    """Another shape, in which -1 stands for what remains and, with `keeps`, 0 for the size the operand has there."""

    sizes: tuple[int, ...]
    keeps: bool

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        sizes = [x[axis] if size == 0 and self.keeps else size for axis, size in enumerate(self.sizes)]
        if -1 in sizes:
            known = -math.prod(sizes)
            if sizes.count(-1) > 1 or known <= 0 or math.prod(x) % known:
                raise ValueError(f"cannot reshape array of shape {x} into shape {tuple(sizes)}")
            sizes[sizes.index(-1)] = math.prod(x) // known
        return tuple(sizes)


@dataclass(frozen=True)
class Flattened(_View):
    """Axes before `axis` as rows, the others as columns."""

    axis: int

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        return math.prod(x[: self.axis]), math.prod(x[self.axis :])


@dataclass(frozen=True)
class Squeezed(_View):
    """Without `axes`, which have size 1; None: without all that have."""

    axes: tuple[int, ...] | None

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        axes = [i for i, size in enumerate(x) if size == 1] if self.axes is None else self.axes
        gone = {axis_in(axis, len(x), False) for axis in axes}
        if any(x[axis] != 1 for axis in gone):
            raise ValueError(f"cannot squeeze axes {tuple(axes)} of an array of shape {x}")
        return tuple(size for axis, size in enumerate(x) if axis not in gone)


@dataclass(frozen=True)
class ExpandDims(_View):
    """With axes of size 1 at `axes` of the result."""

    axes: tuple[int, ...]

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        rank = len(x) + len(self.axes)
        new = {axis_in(axis, rank, False) for axis in self.axes}
        if len(new) < len(self.axes):
            raise ValueError(f"axes {self.axes} name an axis twice")
        old = iter(x)
        return tuple(1 if axis in new else next(old) for axis in range(rank))


class Strided(Call):
    """What a view of strided memory shows, copied."""

    def view(self, x: _Array) -> _Array:
        """The view, of any shape with as many elements as the result."""
        raise NotImplementedError

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result."""
        raise NotImplementedError

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        shown = self.view(x)
        return moved(shown, None if out is None else out.reshape(shown.shape)).reshape(self.shape(x.shape))

    def forms(self, *operands: Form) -> tuple[Form]:
        return (Form(self.shape(operands[0].shape), operands[0].dtype),)

    def _shown(self, x: Form) -> tuple[_Array, int]:
        """The view of an array of that form, and at which byte it begins. The array has no memory of its own."""
        whole = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, _contiguous(x))
        shown = self.view(whole)
        begins = [each.__array_interface__["data"][0] for each in (whole, shown)]
        return shown, begins[1] - begins[0] if shown.size else 0

    def alias(self, *operands: Form) -> int | None:
        shown, start = self._shown(operands[0])
        return start if shown.flags.c_contiguous else None

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        shown, start = self._shown(x)
        return _core.NativeCall.copy(x.dtype.itemsize, shown.shape, shown.strides, start)


def _contiguous(x: Form) -> tuple[int, ...]:
    """Strides of an array of that form."""
    strides, step = [], x.dtype.itemsize
    for size in reversed(x.shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True)
class Transposed(Strided):
    """The axes in the order `perm`."""

    perm: tuple[int, ...]

    def view(self, x: _Array) -> _Array:
        return x.transpose(self.perm)

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        if sorted(axis % len(x) for axis in self.perm) != list(range(len(x))):
            raise ValueError(f"perm {self.perm} is no order of {len(x)} axes")
        return tuple(x[axis] for axis in self.perm)

    def by_sample(self, *operands: Form) -> bool:
        return bool(self.perm) and self.perm[0] == 0


@dataclass(frozen=True)
class ChangeLayout(Strided):
    """[batch, channels, spatial...] to [batch, spatial..., channels], or back."""

    channels_last: bool

    def view(self, x: _Array) -> _Array:
        return np.moveaxis(x, 1, -1) if self.channels_last else np.moveaxis(x, -1, 1)

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        batch, *others = x
        return (batch, *others[1:], others[0]) if self.channels_last else (batch, others[-1], *others[:-1])

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        if x.dtype not in _KERNEL_DTYPES or self.alias(Form(x.shape, x.dtype)) is not None:
            return super().__call__(x, out=out)
        # Kernels know up to 3 spatial axes, of which the order stays: one will do.
        kernel, axis = (_core.to_nhwc, 1) if self.channels_last else (_core.to_nchw, -1)
        channels, batch = x.shape[axis], x.shape[0]
        first = (batch, channels, x.size // max(batch * channels, 1))
        last = (batch, first[2], channels)
        before, after = (first, last) if self.channels_last else (last, first)
        return kernel(x.reshape(before), out=None if out is None else out.reshape(after)).reshape(self.shape(x.shape))

    def by_sample(self, *operands: Form) -> bool:
        return True


@dataclass(frozen=True)
class ChannelsFirstColumns(Strided):
    """Columns that were flattened from channels-last images of so many `channels`, as if from channels-first ones."""

    channels: int

    def view(self, x: _Array) -> _Array:
        rows, columns = x.shape
        return x.reshape(rows, columns // self.channels, self.channels).transpose(0, 2, 1)

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        columns = x[1]
        if columns % self.channels:
            raise ValueError(f"{columns} columns are no images of {self.channels} channels")
        return x

    def by_sample(self, *operands: Form) -> bool:
        return True


@dataclass(frozen=True)
class Sliced(Strided):
    """The parts of every axis that `where` names."""

    where: tuple[slice, ...]

    def view(self, x: _Array) -> _Array:
        return x[self.where]

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(len(range(*part.indices(size))) for part, size in zip(self.where, x, strict=True))

    def by_sample(self, *operands: Form) -> bool:
        return self.where[:1] == (slice(None),)


@dataclass(frozen=True)
class PixelShuffle(Strided):
    """Channels of channels-first images into blocks of pixels, `columns` (CRD) or depth (DCR) first."""

    block: int
    columns: bool

    def view(self, x: _Array) -> _Array:
        batch, depth, height, width = x.shape
        size = self.block
        channels = depth // size**2
        if self.columns:
            return x.reshape(batch, channels, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(batch, size, size, channels, height, width).transpose(0, 3, 4, 1, 5, 2)

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        batch, depth, height, width = x
        if depth % self.block**2:
            raise ValueError(f"{depth} channels are no multiple of {self.block} x {self.block}")
        return batch, depth // self.block**2, height * self.block, width * self.block

    def by_sample(self, *operands: Form) -> bool:
        return True


@dataclass(frozen=True)
class Concatenate(Call):
    """The operands one after the other along `axis`."""

    axis: int

    def __call__(self, *arrays: _Array, out: _Array | None = None) -> _Array:
        return np.concatenate(arrays, self.axis, out=out)

    def forms(self, *operands: Form) -> tuple[Form]:
        first, axis = operands[0], self.axis
        for each in operands:
            if each.shape[:axis] + each.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]:
                raise ValueError(f"arrays of the shapes {first.shape} and {each.shape} don't fit along axis {axis}")
        length = sum(each.shape[axis] for each in operands)
        return (Form((*first.shape[:axis], length, *first.shape[axis + 1 :]), first.dtype),)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        if any(each.dtype != operands[0].dtype for each in operands):
            return None
        return self.native_of(operands, range(len(operands)), None)

    def rows(self, *operands: Form) -> tuple[int, list[int], list[int]]:
        """How many rows a result has in memory, and of each operand: the bytes of a row, and where they begin there."""
        parts = [math.prod(each.shape[self.axis :]) * each.dtype.itemsize for each in operands]
        return math.prod(operands[0].shape[: self.axis]), parts, [0, *itertools.accumulate(parts)][:-1]

    def native_of(self, operands: Sequence[Form], kept: Sequence[int], stride: int | None) -> _core.NativeCall:
        """The call of operands `kept` alone: the others' places in the result stay as they are. Its rows are `stride`
        bytes apart; None: they follow each other."""
        count, parts, starts = self.rows(*operands)
        stride = sum(parts) if stride is None else stride
        return _core.NativeCall.concatenate(count, [parts[i] for i in kept], [starts[i] for i in kept], stride)

    def by_sample(self, *operands: Form) -> bool:
        return self.axis > 0


_Copied = Literal["edge", "reflect", "wrap"]
_Widths = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class _Pad(Call):
    """`widths`: how many numbers come before and after, for each axis; negative: are taken away."""

    widths: _Widths

    def forms(self, *operands: Form) -> tuple[Form]:
        (x,) = operands
        for size, (before, after) in zip(x.shape, self.widths, strict=True):
            if size + min(before, 0) + min(after, 0) < 0:
                raise ValueError(f"it takes {-min(before, 0) - min(after, 0)} away of an axis of {size}")
        shape = tuple(size + before + after for size, (before, after) in zip(x.shape, self.widths, strict=True))
        return (Form(shape, x.dtype),)

    def cropped(self, x: _Array) -> tuple[_Array, _Widths]:
        """x without what the negative widths take away, and the others."""
        self.forms(Form(x.shape, x.dtype))
        sides = [
            slice(max(-before, 0), size + min(after, 0))
            for size, (before, after) in zip(x.shape, self.widths, strict=True)
        ]
        return x[tuple(sides)], tuple((max(before, 0), max(after, 0)) for before, after in self.widths)

    def by_sample(self, *operands: Form) -> bool:
        return self.widths[:1] == ((0, 0),)


@dataclass(frozen=True, eq=False)
class PadWith(_Pad):
    """Pads with one number: `fill`, 0-d, of the operand's type."""

    fill: NDArray[Any]

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        """np.pad in a tenth of its time: it makes a pass per axis."""
        (form,) = self.forms(Form(x.shape, x.dtype))
        x, widths = self.cropped(x)
        result = np.empty(form.shape, x.dtype) if out is None else out
        result[...] = self.fill
        result[tuple(slice(before, before + size) for size, (before, _) in zip(x.shape, widths, strict=True))] = x
        return result

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        (form,) = self.forms(x)
        fill = np.asarray(self.fill).astype(x.dtype)
        return _core.NativeCall.pad(x.shape, form.shape, [before for before, _ in self.widths], fill)


@dataclass(frozen=True, eq=False)
class PadByCopies(_Pad):
    """Pads with numbers of the operand, as np.pad's mode of that name."""

    mode: _Copied

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        x, widths = self.cropped(x)
        return moved(np.pad(x, widths, mode=self.mode), out)
