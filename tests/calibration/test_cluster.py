"""Calibration over Dask gives what one process gives: table, kept samples and errors, whatever the partitions are."""

import logging
import os
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from hypothesis import given, settings
from hypothesis import strategies as st
from qkern.calibration import CalibrationTable, KeptSamples, calibrate, cluster
from small_cnn import images, small_cnn
from test_calibrate import TENSORS, X, small_model

dask = pytest.importorskip("dask", reason="dask is not installed")
bag = pytest.importorskip("dask.bag", reason="dask is not installed")


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(cluster, "_LEAST_TASKS", 3)
    monkeypatch.setattr(cluster, "_TASKS_PER_THREAD", 0)
    monkeypatch.setattr(cluster, "_FAN_IN", 2)


def cut_at(x, ends):
    """`x` in parts, some of them empty."""
    return np.split(x, sorted(ends))


def file_of(table, path):
    table.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("method", ["minmax", "kl"])
@settings(max_examples=20)
@given(ends=st.lists(st.integers(0, len(X)), max_size=9), form=st.sampled_from(["delayed", "bag", "bags", "batches"]))
def test_any_partition_gives_the_bytes_of_one_process(method, ends, form, tmp_path_factory, small_windows):
    parts = cut_at(X, ends)
    samples = [x for part in parts for x in part]
    data = {
        "delayed": lambda: [dask.delayed(part) for part in parts],
        "bag": lambda: bag.from_sequence(samples, npartitions=len(parts)),
        "bags": lambda: [bag.from_sequence([part]) for part in parts],
        "batches": lambda: [dask.delayed([{"x": part[:1]}, {"x": part[1:]}]) for part in parts],
    }[form]()
    folder = tmp_path_factory.mktemp("tables")
    one = file_of(calibrate(small_model(), X, TENSORS, method=method), folder / "one.npz")
    assert file_of(calibrate(small_model(), data, TENSORS, method=method), folder / "many.npz") == one


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 20, 128])
@settings(max_examples=10)
@given(ends=st.lists(st.integers(0, len(X)), max_size=9))
def test_the_kept_samples_are_those_of_one_process(limit, ends, small_windows):
    one, many = KeptSamples(limit), KeptSamples(limit)
    calibrate(small_model(), X, TENSORS, keep=one)
    calibrate(small_model(), [dask.delayed(part) for part in cut_at(X, ends)], TENSORS, keep=many)
    assert len(one) == len(many)
    for expected, kept in zip(one, many, strict=True):
        np.testing.assert_array_equal(kept["x"], expected["x"])


def test_samples_that_can_not_be_cut_are_kept_as_they_are(small_windows):
    model = small_model(rows=3)
    one, many = (KeptSamples(3, cut=False) for _ in range(2))
    calibrate(model, X, TENSORS, keep=one)
    table = calibrate(model, [dask.delayed(X[:6]), dask.delayed(X[6:])], TENSORS, keep=many)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))
    assert [feed["x"].shape for feed in many] == [(3, 6)] * len(list(one))
    np.testing.assert_array_equal([feed["x"] for feed in many], [feed["x"] for feed in one])


@pytest.mark.parametrize("ends", [[], [4], [17], [18], [1, 2, 3, 9, 12, 16, 17, 18, 20]])
@pytest.mark.parametrize("what", ["nan", "nan in y"])
def test_errors_name_tensor_and_sample_as_in_one_process(what, ends, small_windows):
    x = X.copy()
    for sample in (17, 19):
        x[sample] = np.nan if what == "nan" else np.inf  # infinities of both signs: their sum is NaN
    messages = []
    for data in (x, [dask.delayed(part) for part in cut_at(x, ends)]):
        with pytest.raises(ValueError, match=r"sample 17$") as caught:
            calibrate(small_model(), data, ["y"])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_other_errors_are_the_same_too():
    for x, message in ((X[:, :3], r"'x' takes float32 \[\?, 6\]"), ([], "no calibration data")):
        for data in (x, [dask.delayed(x)]):
            with pytest.raises(ValueError, match=message):
                calibrate(small_model(), data, TENSORS)
    with pytest.raises(TypeError, match="a Dask bag or delayed values, not ndarray"):
        calibrate(small_model(), [dask.delayed(X), X], TENSORS)
    with pytest.raises(ValueError, match="MovingAverageMinMaxObserver depends on the order"):
        calibrate(small_model(), [dask.delayed(X)], TENSORS, method="moving_average_minmax")


def test_an_item_that_is_wrong_is_named_with_its_partition(small_windows):
    parts = [dask.delayed([X[:2], X[2]]), *[dask.delayed([])] * 4, dask.delayed([X[3], (X[4], 1)])]
    with pytest.raises(ValueError, match=r"^partition 5: item 1 is a tuple of length 2"):
        calibrate(small_model(), parts, TENSORS)


@pytest.mark.parametrize("ends", [[], [1, 1, 4], [2, 5, 6]])
def test_items_are_those_of_one_process(ends, tmp_path, small_windows):
    items = [X[:5], X[5:7], X[7:8], X[8:13], X[13:18], X[18:20], X[20:]]
    parts = [dask.delayed(list(part)) for part in (items[a:b] for a, b in pairwise([0, *ends, len(items)]))]
    kept = [KeptSamples(4) for _ in range(2)]
    one, many = (
        calibrate(small_model(), data, TENSORS, keep=keep, samples="items")
        for data, keep in zip((items, parts), kept, strict=True)
    )
    assert one.samples == many.samples == len(items)
    assert file_of(many, tmp_path / "many.npz") == file_of(one, tmp_path / "one.npz")
    for expected, unit in zip(*kept, strict=True):
        np.testing.assert_array_equal(unit["x"], expected["x"])
    x = X.copy()
    x[14] = np.inf  # infinities of both signs: their sum is NaN
    bad = [x[a:b] for a, b in pairwise([0, 5, 7, 8, 13, 18, 21])]
    with pytest.raises(ValueError, match=r"tensor 'y': NaN in the data, item 4$"):
        calibrate(small_model(), [dask.delayed(bad[:3]), dask.delayed(bad[3:])], ["y"], samples="items")


@pytest.mark.parametrize("seen", [1, 7, 20, 21])
@pytest.mark.parametrize("wrong", [0, 20])
def test_a_table_of_other_data_is_not_resumed(seen, wrong, small_windows):
    table = calibrate(small_model(), X[:seen], TENSORS)
    x = X.copy()
    x[min(wrong, seen - 1)] += 1
    for data, message in ((x, "of other data"), (X[: seen - 1], f"has seen {seen} samples, of {seen - 1}")):
        parts = [dask.delayed(part) for part in cut_at(data, [2, 3, 3, 8, 13, 14, 20])]
        with pytest.raises(ValueError, match=message if len(data) else "no calibration data"):
            calibrate(small_model(), parts, TENSORS, into=table)
        assert table.samples == seen


def test_what_loading_raises_passes_through():
    def load():
        raise FileNotFoundError("shard 7")

    with pytest.raises(FileNotFoundError, match="shard 7"):
        calibrate(small_model(), [dask.delayed(X), dask.delayed(load)()], TENSORS)


@pytest.mark.parametrize("seen", [0, 1, 7, 20, 21])
def test_an_interrupted_table_is_resumed_to_the_same_bytes(seen, small_windows):
    table = calibrate(small_model(), X[:seen], TENSORS) if seen else CalibrationTable()
    parts = [dask.delayed(part) for part in cut_at(X, [2, 3, 3, 8, 13, 14, 20])]
    calibrate(small_model(), parts, TENSORS, into=table)
    assert table.samples == len(X)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))


def test_after_every_window_the_table_is_that_of_a_prefix(small_windows):
    table, seen = CalibrationTable(), []

    def stop(done, total):
        seen.append((done, total))
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(small_model(), bag.from_sequence(X, npartitions=7), TENSORS, into=table, progress=stop)
    assert seen == [(0, None), (9, None), (18, None)]
    assert table.samples == 18
    assert dict(table) == dict(calibrate(small_model(), X[:18], TENSORS))


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_a_whole_quantization_gives_the_same_model(effort):
    x = images(24)
    data = bag.from_sequence(x, npartitions=5)
    with dask.config.set(scheduler="threads"):
        models = [
            ir.to_proto(qkern.quantize_model(small_cnn(), each, "x86", effort=effort).model) for each in (x, data)
        ]
    assert len({model.SerializeToString(deterministic=True) for model in models}) == 1


def test_the_process_scheduler_gives_the_same_bytes():
    with dask.config.set(scheduler="processes", num_workers=2):
        table = calibrate(small_model(), [dask.delayed(X[:9]), dask.delayed(X[9:])], TENSORS)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))


def test_a_worker_that_is_killed_on_the_way_changes_nothing(tmp_path):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    x, size = images(48), 4
    loads = tmp_path / "loads"
    loads.mkdir()

    def load(start):  # nested, so that workers get it by value
        (loads / f"{start}.{os.getpid()}").touch()
        time.sleep(0.1)
        return x[start : start + size]

    def kill_one():
        while len(loaded := list(loads.iterdir())) < 5:
            time.sleep(0.01)
        killed.append(int(loaded[0].suffix[1:]))
        os.kill(killed[0], signal.SIGKILL)

    killed = []
    killer = threading.Thread(target=kill_one, daemon=True)
    parts = [dask.delayed(load)(start) for start in range(0, len(x), size)]
    workers = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path / "workers",
        silence_logs=logging.CRITICAL,
    )
    with workers, distributed.Client(workers):
        killer.start()
        quantized = qkern.quantize_model(small_cnn(), parts, "x86", "kl")
        killer.join()
    loaded = [path.stem for path in loads.iterdir()]
    assert len(loaded) > len(set(loaded)) == len(parts)  # what it had was computed again
    one = qkern.quantize_model(small_cnn(), x, "x86", "kl")
    assert file_of(quantized.table, tmp_path / "a.npz") == file_of(one.table, tmp_path / "b.npz")
    assert quantized.report == one.report
