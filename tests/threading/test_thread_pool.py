"""The pool of threads: what may happen to a process that has one."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import qkern
from emulation import EMULATED, smaller

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
INSTRUMENTED = "libtsan" in os.environ.get("LD_PRELOAD", "")  # ThreadSanitizer has a thread of its own

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
PREPARED = """
import os, signal, sys, threading, time
import numpy as np, qkern
a = np.arange(160_000, dtype=np.int64).astype(np.int8).reshape(400, 400)
def threads():
    return len(os.listdir("/proc/self/task"))
def ended(child, seconds=20):
    for _ in range(int(seconds * 100)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return "hangs"
"""
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc/self/task")
of_linux = pytest.mark.skipif(sys.platform != "linux" or EMULATED, reason="an emulator has threads of its own")


@forks
@needs_proc
@of_linux
@pytest.mark.skipif(INSTRUMENTED, reason="threads are counted")
def test_a_forked_process_starts_its_own_threads(python):
    # Workers of data loaders are forked from processes that have computed already.
    done = python(f"""{PREPARED}
qkern.set_num_threads(3)
before = threads()
expected = qkern.matmul(a, a)
assert threads() == before + 2, threads()
child = os.fork()
if child == 0:
    assert threads() == 1 and qkern.get_num_threads() == 3
    right = (qkern.matmul(a, a) == expected).all() and threads() == 3
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if (qkern.matmul(a, a) == expected).all() and threads() == 3 else 3)
    os._exit(0 if right and ended(grandchild) == 0 else 4)
print("status", ended(child), (qkern.matmul(a, a) == expected).all())
""")
    assert done.stdout.split() == ["status", "0", "True"], done.stdout + done.stderr


@forks
def test_forked_while_others_compute(python):
    # What the other threads were about in the parent doesn't reach into the child.
    done = python(f"""{PREPARED}
qkern.set_num_threads(2)
expected, stop, wrong = qkern.matmul(a, a), threading.Event(), []
def compute():
    while not stop.is_set():
        if not (qkern.matmul(a, a) == expected).all():
            wrong.append(1)
others = [threading.Thread(target=compute) for _ in range(3)]
for other in others:
    other.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if all((qkern.matmul(a, a) == expected).all() for _ in range(5)) else 3)
    print(ended(child), end=" ")
stop.set()
for other in others:
    other.join()
print(wrong)
""")
    assert done.stdout.split() == ["0"] * 20 + ["[]"], done.stdout + done.stderr


ENDLESS = {
    "matmul": "qkern.matmul(a, a)",
    "pack and matmul": "qkern.matmul(a, qkern.pack(a))",
    "quantize": "qkern.quantize(x, 0.1)",
    "dequantize": "qkern.dequantize(a, 0.1)",
    "requantize": "qkern.requantize(a.astype(np.int32), 0.1)",
    "QLinear": "qkern.QLinear(a, 0.1, x_scale=0.1)(a)",
    "conv": "qkern.conv(a[None, None], a[None, None, :3, :3])",
    "QConv": "qkern.QConv(a[None, None, :3, :3], 0.1, x_scale=0.1, layout='NCHW')(a[None, None])",
    "add": "qkern.add(a, a, a_scale=0.1, b_scale=0.1, y_scale=0.1)",
    "pool": "qkern.max_pool(a[None, None], kernel=2); qkern.average_pool(a[None, None], kernel=2)",
    "lookup": "qkern.lookup(a, np.arange(256, dtype=np.uint8))",
    "histogram": "_core.extremes(x)",
    "layout": "_core.to_nchw(a[None, :, :, None].repeat(3, -1))",
}


@pytest.mark.parametrize("call", ENDLESS)
def test_a_process_ends_while_threads_compute(python, call):
    # daemon threads want the GIL back when there is no interpreter any more
    done = python(f"""{PREPARED}
from qkern import _core
x = np.linspace(-9, 9, 160_000, dtype=np.float32).reshape(400, 400)
qkern.set_num_threads(3)
def compute():
    while True:
        {ENDLESS[call]}
        ran.set()
ran = threading.Event()
for _ in range(3):
    threading.Thread(target=compute, daemon=True).start()
assert ran.wait(30)
time.sleep(0.02)
print("over")
""")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["over"], "")


@of_linux
@needs_proc
def test_threads_that_cannot_be_made_are_done_without(python):
    done = python(f"""{PREPARED}
import resource
expected = qkern.matmul(a, a[:, :8]), (qkern.set_num_threads(1), qkern.matmul(a, a))[1]
before = threads()
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, limits[1]))  # a stack or two
qkern.set_num_threads(64)
assert (qkern.matmul(a, a) == expected[1]).all()
few = threads()
assert few < before + 10, few
resource.setrlimit(resource.RLIMIT_AS, limits)
time.sleep(1.1)  # asked for again
assert (qkern.matmul(a, a) == expected[1]).all()
assert threads() > few, threads()
print("done")
""")
    assert done.stdout.split() == ["done"], done.stdout + done.stderr


@of_linux
def test_signals_are_for_the_threads_of_python(python):
    # A worker that took a signal would leave the main thread asleep in its system call.
    done = python(
        f"""{PREPARED}
qkern.set_num_threads(4)
qkern.matmul(a, a)
blocked = []
for task in os.listdir("/proc/self/task"):
    with open(f"/proc/self/task/{{task}}/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
    if task != str(os.getpid()):
        blocked.append(bool(mask >> (signal.SIGINT - 1) & 1))
print(sum(blocked) >= 3)
""",
        OPENBLAS_NUM_THREADS="1",
    )
    assert done.stdout.split() == ["True"], done.stdout + done.stderr


@of_linux
@needs_proc
@pytest.mark.skipif(PROCESSORS < 2, reason="one processor")
def test_workers_step_aside_and_stay_where_they_may_run(python):
    # Others have all processors, so the system wakes workers on the caller's: they go to another one, of those that
    # their mask has. Then to one processor alone, which they mustn't leave.
    done = python(
        f"""{PREPARED}
import subprocess
others = [subprocess.Popen(["nice", sys.executable, "-c", "while True: pass"]) for _ in range(4)]
try:
    mask = os.sched_getaffinity(0)
    qkern.set_num_threads(2)
    before = set(os.listdir("/proc/self/task"))
    expected = qkern.matmul(a, a)
    (worker,) = set(os.listdir("/proc/self/task")) - before
    right = all((qkern.matmul(a, a) == expected).all() for _ in range(500))
    allowed = os.sched_getaffinity(int(worker))
    print(right, allowed <= mask and len(mask - allowed) <= 1)
    one = {{min(mask)}}
    os.sched_setaffinity(0, one)
    os.sched_setaffinity(int(worker), one)
    print(all((qkern.matmul(a, a) == expected).all() for _ in range(500)), os.sched_getaffinity(int(worker)) == one)
finally:
    for each in others:
        each.kill()
""",
        OPENBLAS_NUM_THREADS="1",
    )
    assert done.stdout.split() == ["True"] * 4, done.stdout + done.stderr


def test_more_threads_than_processors_give_the_same_bytes(threads):
    x = np.random.default_rng(1).standard_normal((701, 1201)).astype(np.float32)
    threads(1)
    expected = qkern.quantize(x, 0.02)
    for n in (2, 17, 200):
        threads(n)
        for _ in range(3):
            np.testing.assert_array_equal(qkern.quantize(x, 0.02), expected)


def test_sixteen_threads_with_changing_counts(threads):
    """More callers than processors, each with its own loops, while the number of threads changes under them."""
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-128, 128, (300, 300)).astype(np.int8) for _ in range(2))
    x = rng.standard_normal((401, 1001)).astype(np.float32)
    w = rng.integers(-127, 128, (32, 16, 3, 3)).astype(np.int8)
    layer = qkern.QConv(w, 0.01, x_scale=0.1, y_scale=1.0, padding=1)
    image = rng.integers(0, 256, (2, 40, 40, 16)).astype(np.uint8)
    packed = qkern.pack(b)
    calls = [
        lambda: qkern.matmul(a, packed),
        lambda: qkern.quantize(x, 0.02),
        lambda: layer(image),
        lambda: qkern.max_pool(image, kernel=3, layout="NHWC"),
        lambda: qkern.matmul(a[:3], b),
    ]
    threads(1)
    expected = [call().tobytes() for call in calls]
    wrong: list[int] = []
    rounds = smaller(60, 5)

    def compute(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(rounds):
            if order.random() < 0.1:
                qkern.set_num_threads(order.randint(1, 9))
            i = order.randrange(len(calls))
            if calls[i]().tobytes() != expected[i]:
                wrong.append(i)

    others = [threading.Thread(target=compute, args=(seed,), daemon=True) for seed in range(16)]
    for other in others:
        other.start()
    deadline = time.monotonic() + smaller(60, 600)
    for other in others:
        other.join(max(0.0, deadline - time.monotonic()))
    assert [other for other in others if other.is_alive()] == [], "deadlock"
    assert wrong == []


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """pool_program.cc with the pool, compiled."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None or EMULATED or INSTRUMENTED:
        pytest.skip("no C++ compiler")
    built = tmp_path_factory.mktemp("pool") / "program"
    sources = [str(HERE / "pool_program.cc"), *map(str, sorted((CSRC / "threading").glob("*.cc")))]
    flags = ["-std=c++20", "-O1", "-pthread", f"-I{CSRC}"]
    subprocess.run([*compiler.split(), *flags, *sources, "-o", str(built)], check=True)
    return built


def test_from_cpp(program):
    """Each item once, nested loops, exceptions, loops of several threads: what pool_program.cc lists."""
    done = subprocess.run([program, "20"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["right"]), done.stdout + done.stderr


def test_ctrl_c_reaches_the_main_thread(python):
    if sys.platform == "win32":
        pytest.skip("no signals of this kind")
    done = python(f"""{PREPARED}
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts us may have made it ignored
qkern.set_num_threads(3)
qkern.matmul(a, a)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    time.sleep(20)
except KeyboardInterrupt:
    print(time.monotonic() - start < 10)
""")
    assert done.stdout.split() == ["True"], done.stdout + done.stderr
