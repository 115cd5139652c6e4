"""Files that a command writes: refused before the work where they can't be written."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["described", "joined", "npz", "refuse_unwritable"]


def refuse_unwritable(path: Path, *, inputs: tuple[Path, ...] = ()) -> None:
    """Raises where `path` can't be written: no such folder, no permission, a folder itself, or one of the `inputs`."""
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, not a file to write to")
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {folder}")
    if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
        raise ValueError(f"{path}: would overwrite the input")
    if path.exists() and not path.is_file():  # a device or a pipe is written to
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{path}: no permission to write to it")
        return
    try:
        with tempfile.TemporaryFile(dir=folder):  # asking for the permission is not enough: the disk may be read-only
            pass
    except OSError as error:
        raise PermissionError(f"{path}: can't write in {folder} ({error.strerror})") from error


def joined(name: str, arrays: Sequence[NDArray[Any]], by_rows: bool) -> dict[str, NDArray[Any]]:
    """What the runs gave for the output `name`, by the names it is written under: rows in one array, items stacked
    along an axis in front; where their shapes differ, sample by sample."""
    by_rows = by_rows and all(array.ndim for array in arrays)
    if len({array.shape[by_rows:] for array in arrays}) == 1:
        return {name: np.concatenate(arrays) if by_rows else np.stack(arrays)}
    each = [array[i : i + 1] for array in arrays for i in range(len(array))] if by_rows else arrays
    return {f"{name}.{number}": array for number, array in enumerate(each)}


def described(arrays: Sequence[NDArray[Any]]) -> tuple[str, ...]:
    """Type, shape (or how many arrays), and least, mean and largest number of an output."""
    shape = str(list(arrays[0].shape)) if len(arrays) == 1 else f"{len(arrays)} arrays"
    numbers = np.concatenate([array.ravel() for array in arrays])
    return (
        str(numbers.dtype),
        shape,
        *(f"{f(numbers):.4g}" if numbers.size else "" for f in (np.min, np.mean, np.max)),
    )


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz with these arrays: `np.savez`, for any name (its own arguments, such as `file`, included)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()
