"""threadpoolctl sees and limits the pool, whichever of the two is imported first, and isn't imported by qkern."""

from __future__ import annotations

import pytest

pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")

LIMITED = """
def ours():
    return [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "qkern"]
[found] = ours()
assert found["version"] == qkern.__version__ and found["num_threads"] == qkern.get_num_threads() == 5, found
with threadpoolctl.threadpool_limits(3):
    assert qkern.get_num_threads() == 3
    with threadpoolctl.threadpool_limits({"qkern": 2}):
        assert qkern.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert qkern.get_num_threads() == 3
assert qkern.get_num_threads() == 5
print("limited")
"""


@pytest.mark.parametrize("first", ["qkern", "threadpoolctl"])
def test_limits(python, first):
    second = {"qkern": "threadpoolctl", "threadpoolctl": "qkern"}[first]
    done = python(f"import {first}\nimport {second}\nqkern.set_num_threads(5)\n{LIMITED}")
    assert done.stdout.split() == ["limited"], done.stderr


def test_qkern_does_not_import_it(python):
    done = python("import sys, qkern; print('threadpoolctl' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stderr


def test_without_threadpoolctl(python):
    done = python("""
        import sys
        import qkern
        path = sys.path[:]
        sys.path[:] = [folder for folder in path if "packages" not in folder]  # as if it weren't installed
        try:
            import threadpoolctl
        except ModuleNotFoundError as error:
            print(error.name)
        sys.path[:] = path  # installed meanwhile
        import threadpoolctl
        print([each["user_api"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "qkern"])
    """)
    assert done.stdout.split() == ["threadpoolctl", "['qkern']"], done.stdout + done.stderr
