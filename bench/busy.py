"""What other processes on the machine do to a model's run time.

    python bench/busy.py MODEL.onnx [--runs 1000] [--rounds 3] [--json FILE]

MODEL.onnx is run on random numbers, batch 1, by qkern and by ONNX Runtime where that is installed, each in processes of
its own, in turn:
    busy      beside three processes per processor that do nothing but compute: total time of the runs, and how far the
              99th percentile is from the median, against alone
    shared    as many processes as twice the processors, each with as many threads as there are processors: runs per
              second of all of them, against one such process alone
    limited   a process that may use half a processor (a control group where one can be made, else it is stopped
              half of the time), against one thread without limit; in a control group also one that is started within it
              and told no number of threads
    python    two Python threads on one Session(num_threads=1), against two processes
Prints the medians over the rounds. Times of a machine that others use too are no more than that.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

Figures = dict[str, float]
PROCESSORS = len(os.sched_getaffinity(0))
SPIN = "while True: pass"
CPU_GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


def session_of(library: str, model: str, threads: int | None) -> Any:
    """A session of one of the two libraries; they have the same methods."""
    if library == "qkern":
        import qkern

        return qkern.Session(model, threads)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feeds_of(session: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sizes = {each.name: [d if isinstance(d, int) and d > 0 else 1 for d in each.shape] for each in session.get_inputs()}
    return {name: rng.standard_normal(size).astype(np.float32) for name, size in sizes.items()}


def work(library: str, model: str, threads: int | None, callers: int) -> None:
    """A process that is measured: says when it is ready, is told how many runs, writes their times in ms."""
    session = session_of(library, model, threads)
    feeds = feeds_of(session)
    for _ in range(20):
        expected = session.run(None, feeds)
    print("ready", flush=True)
    for line in sys.stdin:
        times: list[list[float]] = [[] for _ in range(callers)]
        wrong = [0]

        def repeat(own: list[float], count: int, wrong: list[int] = wrong) -> None:
            for _ in range(count):
                start = time.perf_counter()
                got = session.run(None, feeds)
                own.append((time.perf_counter() - start) * 1e3)
                wrong[0] += any(a.tobytes() != b.tobytes() for a, b in zip(got, expected, strict=True))

        others = [threading.Thread(target=repeat, args=(own, int(line) // callers)) for own in times]
        start = time.perf_counter()
        for other in others:
            other.start()
        for other in others:
            other.join()
        total = (time.perf_counter() - start) * 1e3
        checksum = zlib.crc32(b"".join(each.tobytes() for each in expected))
        answer = {"times": list(chain(*times)), "total": total, "wrong": wrong[0], "checksum": checksum}
        print(json.dumps(answer), flush=True)


class Worker:
    """A process with a session, from outside."""

    def __init__(self, library: str, model: str, threads: int | None, callers: int = 1) -> None:
        arguments = [sys.executable, __file__, model, "--work", library, str(threads or 0), str(callers)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def start(self, runs: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._line())
        assert found["wrong"] == 0, "a run gave other bytes"
        return found

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process that was measured has ended")
        return line

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def measured(workers: Sequence[Worker], runs: int) -> list[dict[str, Any]]:
    for worker in workers:
        worker.start(runs)
    return [worker.answer() for worker in workers]


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """`count` processes that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    time.sleep(0.3)
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@contextmanager
def control_group(process: int) -> Iterator[bool]:
    """Has a process use half a processor at most, and what it starts too; False where that can't be arranged."""
    for root in CPU_GROUPS:
        group = root / f"qkern-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "cpu.cfs_quota_us").exists():
                (group / "cpu.cfs_quota_us").write_text("50000")
            else:
                (group / "cpu.max").write_text("50000 100000")
            (group / "cgroup.procs").write_text(str(process))
        except OSError:
            group.rmdir()
            continue
        try:
            yield True
        finally:
            (root / "cgroup.procs").write_text(str(process))
            group.rmdir()
        return
    yield False


@contextmanager
def half_a_processor(process: int) -> Iterator[str]:
    """Limits a process, and says how."""
    with control_group(process) as limited:
        if limited:
            yield "control group"
            return
    stop = threading.Event()

    def in_turn() -> None:
        while not stop.is_set():
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.05)
            os.kill(process, signal.SIGCONT)
            time.sleep(0.05)

    stopper = threading.Thread(target=in_turn)
    stopper.start()
    try:
        yield "SIGSTOP and SIGCONT"
    finally:
        stop.set()
        stopper.join()


def busy(library: str, model: str, runs: int) -> Figures:
    figures: Figures = {}
    for threads in (1, 2):
        with Worker(library, model, threads) as worker:
            alone = measured([worker], runs)[0]
            with spinning(3 * PROCESSORS):
                beside = measured([worker], runs)[0]
        name = f"{threads} threads" if threads > 1 else "1 thread"
        percentile = np.percentile(beside["times"], 99) / np.median(beside["times"])
        figures |= {
            f"{name}, alone, ms": alone["total"] / runs,
            f"{name}, busy, ms": beside["total"] / runs,
            f"{name}, busy / alone": beside["total"] / alone["total"],
            f"{name}, busy, p99 / median": float(percentile),
        }
    return figures


def shared(library: str, model: str, runs: int) -> Figures:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(library, model, PROCESSORS)) for _ in range(2 * PROCESSORS)]
        alone = runs / measured(workers[:1], runs)[0]["total"]
        together = sum(runs / each["total"] for each in measured(workers, runs))
    return {"one, runs/s": alone * 1e3, "all, runs/s": together * 1e3, "all / one": together / alone}


def limited(library: str, model: str, runs: int) -> Figures:
    figures: Figures = {}
    with Worker(library, model, 1) as one:
        alone = measured([one], runs)[0]["total"] / runs
    for threads in (1, PROCESSORS):
        with Worker(library, model, threads) as worker, half_a_processor(worker.process.pid) as how:
            total = measured([worker], runs)[0]["total"] / runs
        figures[f"{threads} threads, {how}, / 1 thread alone"] = total / alone
    with control_group(os.getpid()) as within:  # this process waits
        if within:
            with Worker(library, model, None) as worker:
                figures["started within, / 1 thread alone"] = measured([worker], runs)[0]["total"] / runs / alone
    return figures


def python(library: str, model: str, runs: int) -> Figures:
    with (
        Worker(library, model, 1, callers=2) as both,
        Worker(library, model, 1) as one,
        Worker(library, model, 1) as two,
    ):
        threads = measured([both], runs)[0]
        processes = measured([one, two], runs // 2)
    assert len({each["checksum"] for each in (threads, *processes)}) == 1
    total = max(each["total"] for each in processes)
    return {"threads, runs/s": runs / threads["total"] * 1e3, "threads / processes": total / threads["total"]}


SCENES: dict[str, Callable[[str, str, int], Figures]] = {
    "busy": busy,
    "shared": shared,
    "limited": limited,
    "python": python,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        library, threads, callers = arguments.work
        return work(library, arguments.model, int(threads) or None, int(callers))
    libraries = ["qkern", *(["onnxruntime"] if find_spec("onnxruntime") else [])]
    found: dict[str, dict[str, list[Figures]]] = {scene: {library: [] for library in libraries} for scene in SCENES}
    for _ in range(arguments.rounds):
        for scene in arguments.scenes:
            for library in libraries:
                found[scene][library].append(SCENES[scene](library, arguments.model, arguments.runs))
    medians = {
        scene: {
            library: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
            for library, rounds in by_library.items()
            if rounds
        }
        for scene, by_library in found.items()
    }
    for scene in arguments.scenes:
        for library in libraries:
            for name, value in medians[scene][library].items():
                print(f"{scene:8} {library:12} {name:45} {value:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2) + "\n")


if __name__ == "__main__":
    main()
