"""A process that is limited to older instructions has every library choose as on an older processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import qkern

from bench import instructions, machine

NEWER = {"avx2": {"avx_vnni", "avx512_vnni"}, "avx_vnni": {"avx512_vnni"}, "avx512_vnni": set()}
ASK = """
import json, subprocess, sys, threading

found = {}

def ask():
    import numpy as np, qkern

    has = np._core._multiarray_umath.__cpu_features__
    found.update(tiers=qkern.isa.available(), numpy=[name for name in ("AVX512F", "AVX512_SPR") if has.get(name)])

thread = threading.Thread(target=ask)
thread.start()
thread.join()
if len(sys.argv) < 2:
    found["started"] = json.loads(subprocess.run([sys.executable, __file__, "again"], stdout=subprocess.PIPE).stdout)
print(json.dumps(found))
"""


@pytest.fixture
def possible():
    if why := instructions.why_missing():
        pytest.skip(why)


@pytest.mark.usefixtures("possible")
@pytest.mark.parametrize("tier", instructions.TIERS)
def test_newer_instructions_are_not_seen(tier, tmp_path):
    if tier not in qkern.isa.available():
        pytest.skip(f"the processor lacks {tier}")
    script = tmp_path / "ask.py"
    script.write_text(ASK)
    limited = {**os.environ, **instructions.environment(tier)}
    done = subprocess.run([sys.executable, script], env=limited, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    expected = [name for name in qkern.isa.available() if name not in NEWER[tier]]
    assert found["tiers"] == found["started"]["tiers"] == expected
    # AVX512_SPR is what came with AMX, 16-bit floats among it.
    assert "AVX512_SPR" not in found["numpy"] + found["started"]["numpy"]
    if tier != "avx512_vnni":
        assert found["numpy"] == found["started"]["numpy"] == []


@pytest.mark.usefixtures("possible")
def test_other_faults_still_end_the_process():
    limited = {**os.environ, **instructions.environment("avx2")}
    fault = [sys.executable, "-X", "faulthandler=0", "-c", "import ctypes; ctypes.string_at(8)"]
    assert subprocess.run(fault, env=limited, timeout=60).returncode == -11


@pytest.mark.usefixtures("possible")
@pytest.mark.skipif("avx2" not in qkern.isa.available(), reason="the processor lacks avx2")
def test_a_limited_run_says_so(tmp_path):
    command = [sys.executable, "-m", "bench", "--instructions", "avx2", "--quick", "--ops", "elementwise"]
    command += ["--shapes", "quantize per tensor 256 Ki", "--libraries", "qkern_kernels", "--output", str(tmp_path)]
    text = subprocess.run(command, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "- all libraries limited to the instructions of avx2\n" in text
    [path] = tmp_path.glob("*.json")
    about = json.loads(path.read_text())["machine"]
    assert (about["tier"], about["instructions"]) == ("avx2", "avx2")


@pytest.mark.usefixtures("possible")
def test_a_limited_process_can_compile(tmp_path):
    source = tmp_path / "one.cc"
    source.write_text('extern "C" int one() { return 1; }\n')
    script = "import sys; from pathlib import Path; from bench import compiling\n"
    script += (
        "compiling.BUILD = Path(sys.argv[1]); print(compiling.shared_library('one', [Path(sys.argv[2])]).exists())"
    )
    limited = {**os.environ, **instructions.environment("avx2")}
    command = [sys.executable, "-c", script, str(tmp_path), str(source)]
    done = subprocess.run(command, cwd=machine.ROOT, env=limited, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_tier_without_limits_is_refused():
    with pytest.raises(ValueError, match="sse: not one of avx2, avx_vnni, avx512_vnni"):
        instructions.environment("sse")


def test_a_machine_that_cannot_is_refused(monkeypatch):
    monkeypatch.setattr(instructions, "why_missing", lambda: "needs Linux")
    with pytest.raises(ValueError, match="needs Linux"):
        instructions.environment("avx2")
