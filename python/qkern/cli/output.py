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

__all__ = ["joined", "npz", "refuse_unwritable"]


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
    along an axis in front or, where their shapes differ, one by one."""
    if by_rows:
        return {name: np.concatenate(arrays)}
    if len({array.shape for array in arrays}) == 1:
        return {name: np.stack(arrays)}
    return {f"{name}.{number}": array for number, array in enumerate(arrays)}


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz with these arrays: `np.savez`, for any name (its own arguments, such as `file`, included)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()
