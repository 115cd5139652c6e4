"""How many threads there are by default, and what says so: affinity, control groups, the environment."""

from __future__ import annotations

import os
import threading

import pytest
import qkern
from qkern import _core

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
NUMBER = "import warnings; warnings.simplefilter('error'); import qkern; print(qkern.get_num_threads())"
NONE = {"QKERN_NUM_THREADS": "", "OMP_NUM_THREADS": ""}

# Lines of /proc/self/mountinfo
SECOND = "30 24 0:26 {group} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
FIRST = "32 31 0:29 {group} {point} rw,relatime shared:9 - cgroup cgroup rw,{controllers}\n"


@pytest.fixture
def tree(tmp_path):
    """Writes a tree with /proc/self and what is mounted; returns what `_core.cpu_quota` makes of it."""

    def quota(cgroup: str, mountinfo: str, files: dict[str, str]) -> float | None:
        for name, text in {"/proc/self/cgroup": cgroup, "/proc/self/mountinfo": mountinfo, **files}.items():
            path = tmp_path / name[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return _core.cpu_quota(str(tmp_path))

    return quota


def second(point: str = "/sys/fs/cgroup", group: str = "/") -> str:
    return SECOND.format(point=point, group=group)


def first(controllers: str = "cpu,cpuacct", group: str = "/") -> str:
    return FIRST.format(point=f"/sys/fs/cgroup/{controllers}", group=group, controllers=controllers)


def test_quota_of_version_2(tree):
    folder = "/sys/fs/cgroup/job"
    assert tree("0::/job\n", second(), {f"{folder}/cpu.max": "150000 100000\n"}) == 1.5
    assert tree("0::/job\n", second(), {f"{folder}/cpu.max": "max 100000\n"}) is None
    # the least of the group and those around it
    around = {f"{folder}/cpu.max": "400000 100000\n", f"{folder}/inner/deep/cpu.max": "max 100000\n"}
    assert tree("0::/job/inner/deep\n", second(), around) == 4
    assert tree("0::/job/inner/deep\n", second(), {f"{folder}/inner/cpu.max": "25000 50000\n"}) == 0.5


def test_quota_of_version_1(tree):
    folder = "/sys/fs/cgroup/cpu,cpuacct"
    groups = "5:memory:/x\n4:cpuset:/x\n3:cpu,cpuacct:/a/b\n1:name=systemd:/a\n"

    def files(group: str, quota: int, period: int = 100000) -> dict[str, str]:
        return {f"{folder}{group}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}{group}/cpu.cfs_period_us": f"{period}\n"}

    assert tree(groups, first(), files("/a/b", -1)) is None
    assert tree(groups, first(), files("/a/b", 50000)) == 0.5
    assert tree(groups, first(), files("/a", 20000, 50000)) == 0.4
    assert tree(groups, first(), files("/a/b/c", 10000)) == 0.4  # not one of ours
    assert tree("3:cpuset:/a/b\n", first(), {}) is None


def test_quota_of_both_versions(tree):
    # a hybrid system: the processors under version 1, other controllers under version 2
    files = {
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/unified/cgroup.procs": "1",
    }
    mounts = first("cpu") + second("/sys/fs/cgroup/unified")
    assert tree("2:cpu:/\n0::/\n", mounts, files) == 3


def test_quota_in_a_container(tree):
    # the mount shows the container's own group, under the name that the host has for it
    files = {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n"}
    files["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"] = "100000\n"
    assert tree("3:cpu,cpuacct:/docker/abc\n", first(group="/docker/abc"), files) == 2
    files["/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us"] = "100000\n"
    files["/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us"] = "100000\n"
    assert tree("3:cpu,cpuacct:/docker/abc/job\n", first(group="/docker/abc"), files) == 1
    # a group that isn't under what is mounted
    assert tree("3:cpu,cpuacct:/../other\n", first(group="/docker/abc"), files) == 2


@pytest.mark.parametrize("text", ["", "\n", "max", "100000", "0 100000", "-1 100000", "x y", "100000 0", "1e400 1"])
def test_quotas_that_are_none(tree, text):
    assert tree("0::/\n", second(), {"/sys/fs/cgroup/cpu.max": text}) is None


@pytest.mark.parametrize("text", ["", "0\n", "0:\n", "::::\n", "0::\n", "x::/\n", "garbage"])
def test_groups_and_mounts_that_make_no_sense(tree, text):
    files = {"/sys/fs/cgroup/cpu.max": "100000 100000"}
    assert tree(text, second(), files) in (None, 1)
    assert tree("0::/\n", text, files) is None
    assert tree("0::/\n", "a b - cgroup2 x y\n 1 2 3 4 5 - cgroup2\n - \n", files) is None


def test_no_quota_without_proc(tmp_path):
    assert _core.cpu_quota(str(tmp_path / "nothing")) is None


def test_default_is_the_least(python):
    quota = _core.cpu_quota()
    most = min(PROCESSORS, 1024 if quota is None else int(-(-quota // 1)))
    for environment, expected in [
        ({}, most),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "5000"}, most),
        ({"OMP_NUM_THREADS": " 1 ,3"}, 1),
        ({"QKERN_NUM_THREADS": "1"}, 1),
        ({"QKERN_NUM_THREADS": "1" + 30 * "0"}, most),
        ({"QKERN_NUM_THREADS": "1", "OMP_NUM_THREADS": "nonsense"}, 1),
        ({"QKERN_NUM_THREADS": "1000", "OMP_NUM_THREADS": "1"}, most),
    ]:
        done = python(NUMBER, **(NONE | environment))
        assert done.stdout.split() == [str(expected)], (environment, done.stderr)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_default_follows_affinity(python):
    done = python(f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n{NUMBER}", **NONE)
    assert done.stdout.split() == ["1"], done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "2 3", "+2", "0x2"])
def test_wrong_numbers_in_the_environment(python, text):
    done = python("import qkern", **(NONE | {"QKERN_NUM_THREADS": text}))
    assert done.returncode != 0
    assert f"ImportError: QKERN_NUM_THREADS: '{text}' is not a number of threads, from 1 on" in done.stderr
    # another library's variable doesn't stop the import, but isn't passed over in silence
    done = python("import qkern; print(qkern.get_num_threads())", **(NONE | {"OMP_NUM_THREADS": text}))
    assert done.returncode == 0
    assert f"RuntimeWarning: OMP_NUM_THREADS: '{text}' is not a number of threads, and ignored" in done.stderr


def test_setting_the_number(threads):
    for wrong in (0, -1, -(2**40)):
        with pytest.raises(ValueError, match=r"\bn\b"):
            qkern.set_num_threads(wrong)
    for wrong in (1.5, "2", None):
        with pytest.raises(TypeError):
            qkern.set_num_threads(wrong)
    threads(7)
    assert qkern.get_num_threads() == 7
    threads(2**40)
    assert qkern.get_num_threads() == 1024


def test_a_limit_is_the_calling_thread_s(threads):
    threads(2)
    seen = []
    assert _core.limit_num_threads(1) == 0
    try:
        assert qkern.get_num_threads() == 1
        other = threading.Thread(target=lambda: seen.append(qkern.get_num_threads()))
        other.start()
        other.join()
        assert seen == [2]
        assert _core.limit_num_threads(5) == 1
    finally:
        assert _core.limit_num_threads(0) in (1, 5)
    assert qkern.get_num_threads() == 2
