"""Loads, runs and quantizes mutated models: `python run.py FIRST LAST` prints a line for each seed that goes wrong.

What may come of a model that makes no sense is an error that names what is at fault. Each seed is announced on stdout
before it is tried, so that whoever started this knows which one ended the process.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from pathlib import Path

ALLOWED = (ValueError, TypeError, OSError, RuntimeError)
MOST_BYTES = 4 << 30
MOST_SECONDS = 20
MOST_NUMBERS = 1 << 24  # of an input


def fault(error: Exception) -> str:
    """What is wrong with an error; "" where it is one that a model's author understands."""
    if isinstance(error, MemoryError):
        return ""
    if not isinstance(error, ALLOWED) or isinstance(error, (NotImplementedError, RecursionError)):
        return "not an error of those that are documented"
    if not re.search(r"fuzz\.onnx|\b(node|step|tensor|inputs?|output|initializer|weight) '|\bnode \S+ \(", str(error)):
        return "it names nothing"
    return ""


def attempt(data: bytes, folder: Path) -> list[str]:
    """What goes wrong with the model `data`, in words."""
    import numpy as np
    import qkern

    path = folder / "fuzz.onnx"
    path.write_bytes(data)
    feeds: dict[str, np.ndarray] = {}

    def load_and_run() -> None:
        session = qkern.Session(path, num_threads=1)
        random = np.random.default_rng(0)
        for spec in session.get_inputs():
            shape = [3 if size is None else size for size in spec.shape or ()]
            if np.prod(shape, dtype=float) > MOST_NUMBERS:
                return
            feeds[spec.name] = (random.random(shape, np.float32) * 3).astype(spec.dtype)
        for _ in range(2):
            session.run(None, feeds)

    def quantize() -> None:
        qkern.quantize_model(path, [feeds], "x86", "minmax", effort="fast", num_threads=1).session()

    wrong = []
    for what in (load_and_run, quantize):
        try:
            what()
        except Exception as error:
            if words := fault(error):
                wrong.append(f"{what.__name__}: {words}\n{''.join(traceback.format_exception(error))}")
    return wrong


def main(first: int, last: int, folder: Path) -> None:
    import logging
    import warnings

    import numpy as np
    from models import MODELS
    from mutations import mutated

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if sys.platform == "linux" and "libasan" not in os.environ.get("LD_PRELOAD", ""):  # which reserves terabytes
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    def too_long(*_: object) -> None:
        raise TimeoutError(f"fuzz.onnx took more than {MOST_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    protos = [make() for make in MODELS]
    for seed in range(first, last):
        random = np.random.default_rng(seed)
        proto = type(protos[0])()
        proto.CopyFrom(protos[seed % len(protos)])
        print(f"seed {seed}", flush=True)
        data = mutated(proto, random)
        signal.alarm(MOST_SECONDS)
        for words in attempt(data, folder):
            print(f"WRONG seed {seed}: {words}", flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(int(sys.argv[1]), int(sys.argv[2]), Path(os.environ["QKERN_FUZZ_FOLDER"]))
