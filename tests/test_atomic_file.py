"""A file is the old one or the new one, and nothing is left beside it."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from qkern.atomic_file import write_atomically


def test_it_writes_and_replaces(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"one")
    write_atomically(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to("a")
    write_atomically(tmp_path / "link", b"one")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_failure_names_the_path_and_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"can't write: No space left on device: .*a'"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "a", b"new")


def test_an_interruption_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def interrupted(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and pipes of POSIX")
class TestOfPosix:
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
    def test_a_file_keeps_its_permissions(self, tmp_path, mode):
        path = tmp_path / "a"
        path.write_bytes(b"old")
        path.chmod(mode)
        write_atomically(path, b"new")
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)

    def test_a_new_file_has_those_of_the_umask(self, tmp_path):
        before = os.umask(0o027)
        try:
            write_atomically(tmp_path / "a", b"new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640

    def test_a_pipe_stays_one_and_gets_the_content(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        content = os.urandom(200_000)  # more than a pipe holds
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(path.read_bytes)
            write_atomically(path, content)
            assert read.result(timeout=60) == content
        assert stat.S_ISFIFO(path.stat().st_mode)

    def test_a_device_stays_one(self, tmp_path):
        (tmp_path / "null").symlink_to(os.devnull)
        write_atomically(tmp_path / "null", b"new")
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
        assert os.listdir(tmp_path) == ["null"]

    def test_a_pipe_behind_dev_stdout(self, python):
        run = python("from qkern.atomic_file import write_atomically; write_atomically('/dev/stdout', b'content')")
        assert (run.stdout, run.stderr) == ("content", "")

    def test_a_folder_is_none(self, tmp_path):
        with pytest.raises(IsADirectoryError, match="can't write: Is a directory"):
            write_atomically(tmp_path, b"new")
