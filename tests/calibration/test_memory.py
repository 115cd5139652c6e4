"""What calibration needs of memory doesn't depend on how much data there is."""

import sys
from pathlib import Path

import pytest
from emulation import EMULATED

CALIBRATE = """
import resource, sys

sys.path[:0] = [{tests!r}]
import numpy as np
from qkern.calibration import HistogramObserver, KeptSamples, calibrate
from qkern.conversion import tensors_to_observe
from qkern.fusion import fuse
from qkern.model_file import load_model
from small_cnn import images, small_cnn

model = load_model(small_cnn())
fuse(model)
kept = KeptSamples()
parts = (images(50, seed) for seed in range({count} // 50))
table = calibrate(model, parts, tensors_to_observe(model, ()), observer=HistogramObserver, keep=kept)
assert table.samples == {count} and 0 < len(kept) <= 128
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(EMULATED, reason="what is measured would be the emulator's memory")
@pytest.mark.skipif(sys.platform == "win32", reason="resource is of Unix")
def test_a_hundred_times_as_many_images_need_as_much_memory(python):
    pytest.importorskip("onnxscript", reason="models need the extra [onnx]")
    tests = str(Path(__file__).parents[1])
    peaks = []
    for count in (100, 10_000):  # of 1.7 kB: 17 MB, a tenth of the process
        result = python(CALIBRATE.format(tests=tests, count=count), OMP_NUM_THREADS="1")
        assert result.returncode == 0, result.stderr
        peaks.append(int(result.stdout))
    assert peaks[1] < 1.05 * peaks[0], peaks
