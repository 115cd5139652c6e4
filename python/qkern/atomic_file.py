"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path` in one step: a reader sees the old file or the new one, also after a crash.

    A symbolic link stays one: what it points to is replaced. Raises OSError naming `path`; the old file is left then,
    and nothing beside it.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise type(error)(error.errno, f"can't write: {error.strerror}", str(path)) from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            os.unlink(temporary)
