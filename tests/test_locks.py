"""A lock that a fork renews."""

from __future__ import annotations

import os
import threading

import pytest
from qkern.locks import Lock


def test_excludes():
    lock, held = Lock(), [0]

    def count():
        for _ in range(2000):
            with lock:
                before = held[0]
                held[0] = before + 1

    others = [threading.Thread(target=count) for _ in range(4)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert held == [8000]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
def test_what_another_thread_holds_is_free_in_a_forked_process(python):
    done = python("""
        import os, signal, threading, time
        from qkern.locks import Lock
        lock, holds, ends = Lock(), threading.Event(), threading.Event()
        def hold():
            with lock:
                holds.set()
                ends.wait()
        other = threading.Thread(target=hold)
        other.start()
        holds.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # ends it, if it waits
            with lock:
                os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        ends.set()
        other.join()
        with lock:
            print("free")
    """)
    assert done.stdout.split() == ["7", "free"], done.stdout + done.stderr
