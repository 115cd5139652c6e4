"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path` in one step: a reader sees the old file or the new one, also after a crash.

    The new file has the permissions of the old one. A symbolic link stays one: what it points to is replaced. What is
    no regular file (a device, a pipe) stays what it is, and is written to. Raises OSError naming `path`; the old file
    is left then, and nothing beside it.
    """
    try:
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            with open(path, "wb") as file:
                file.write(content)
            return
        _replace(Path(os.path.realpath(path)), content, mode)
    except OSError as error:
        raise type(error)(error.errno, f"can't write: {error.strerror}", str(path)) from error


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _replace(target: Path, content: bytes, mode: int | None) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))  # before there is anything to read in it
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with suppress(OSError):  # already renamed, or never made
            os.unlink(temporary)
