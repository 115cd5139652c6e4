"""Memory that nothing is in goes back to the system."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest
from qkern import _core


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_freed_pages_are_returned():
    blocks = [np.ones(16_000, np.uint8) for _ in range(4000)]  # too small for pages of their own
    last = blocks[-1]  # above all others in the heap, which therefore doesn't shrink by itself
    full = resident()
    del blocks
    _core.return_free_memory()
    assert resident() < full - 40_000_000
    assert last.all()
