"""The command `qkern`.

Exit codes: 0 success, 1 failure, 2 wrong usage or input, 130 interrupted. An error is one line on stderr; QKERN_DEBUG=1
shows the traceback instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("click", "rich", "onnx", "onnx_ir", "onnxscript")
_WRONG_INPUT = (ValueError, TypeError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with `arguments` (None: those of the process) and returns its exit code."""
    try:
        return _run(arguments)
    except BaseException as error:  # during imports: click turns an interrupt during a command into Abort
        if _is_interrupt(error):
            return _fail("interrupted", 130)
        raise


def _run(arguments: Sequence[str] | None) -> int:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        return _fail(f'the command line needs {", ".join(missing)}: pip install "qkern[onnx]"', 2)

    import click

    try:
        from .commands import qkern

        code = qkern.main(args=None if arguments is None else list(arguments), prog_name="qkern", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return _fail("interrupted", 130)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "qkern"
        return _fail(f"{error.format_message()} (see {command} --help)", 2)
    except Exception as error:  # whatever went wrong, a user of the command gets one line
        if _is_interrupt(error):
            return _fail("interrupted", 130)
        if os.environ.get("QKERN_DEBUG") == "1":
            raise
        return _fail(_one_line(error), 2 if isinstance(error, _WRONG_INPUT) else 1)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an interrupt is behind `error`: an import that one interrupts may fail with an error of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    if not isinstance(error, (*_WRONG_INPUT, OSError)):
        text = f"{type(error).__name__}: {text}"
    return " ".join(text.split())


def _fail(message: str, code: int) -> int:
    print(f"qkern: {message}", file=sys.stderr)
    return code
