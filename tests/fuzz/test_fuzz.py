"""A model file that went wrong, in whatever way, is refused by name, and hurts nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulation import smaller

SEEDS = int(os.environ.get("QKERN_FUZZ_SEEDS", smaller(300, 30)))
CHUNK = min(75, SEEDS)


@pytest.mark.skipif(os.name != "posix", reason="the limits on memory and time are those of POSIX")
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_mutated_models_are_refused_by_name(first, tmp_path):
    command = [sys.executable, Path(__file__).with_name("run.py"), str(first), str(min(first + CHUNK, SEEDS))]
    environment = {**os.environ, "QKERN_FUZZ_FOLDER": str(tmp_path)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, f"{lines[-1:]} ended the process: {run.stderr[-2000:]}"
    wrong = run.stdout.partition("WRONG")[1:]
    assert not any(wrong), "".join(wrong)


def test_an_error_has_to_name_something():
    sys.path.insert(0, str(Path(__file__).parent))
    from run import fault

    assert fault(ValueError("node 'c' (Conv): wrong")) == ""
    assert fault(OSError("fuzz.onnx: no such file")) == ""
    assert fault(MemoryError()) == ""
    for error in (KeyError("c"), AssertionError(), IndexError("list index out of range"), AttributeError("c")):
        assert fault(error)
    assert fault(ValueError("wrong")) == fault(RuntimeError("'c'")) == "it names nothing"
