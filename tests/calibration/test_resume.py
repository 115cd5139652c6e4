"""Calibration that is interrupted, resumed, and read again without a run of the model."""

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from qkern.calibration import CalibrationTable, KeptSamples, calibrate
from small_cnn import images, small_cnn
from test_calibrate import TENSORS, X, small_model


class Interrupted:
    """Data that Ctrl-C hits before a batch."""

    def __init__(self, parts, before):
        self.parts, self.before = parts, before

    def __iter__(self):
        for number, part in enumerate(self.parts):
            if number == self.before:
                raise KeyboardInterrupt
            yield part


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("method", ["minmax", "kl", "moving_average_minmax"])
def test_what_an_interrupted_run_leaves_is_resumed_to_the_same_bytes(before, method, tmp_path):
    parts = [X[start : start + 4] for start in range(0, 20, 4)]
    table = CalibrationTable()
    with pytest.raises(KeyboardInterrupt):
        calibrate(small_model(), Interrupted(parts, before), TENSORS, method=method, into=table)
    assert table.samples == 4 * before
    table.save(tmp_path / "t.npz")
    resumed = CalibrationTable.load(tmp_path / "t.npz")
    assert resumed.samples == table.samples
    calibrate(small_model(), parts, TENSORS, method=method, into=resumed)
    assert resumed.samples == 20
    assert dict(resumed) == dict(calibrate(small_model(), parts, TENSORS, method=method))


def test_a_batch_that_fails_half_way_leaves_nothing_of_itself():
    x = X.copy()
    x[17] = 3e38  # infinite in y, after x was seen
    table = CalibrationTable()
    with pytest.raises(ValueError, match="infinity"):
        calibrate(small_model(), x, TENSORS, into=table)
    assert table.samples == 16
    assert dict(table) == dict(calibrate(small_model(), x[:16], TENSORS))


def test_resuming_inside_a_batch_passes_over_what_was_seen():
    table = calibrate(small_model(), X[:5], TENSORS)
    calibrate(small_model(), X, TENSORS, into=table)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))


def test_the_table_of_another_model_is_not_resumed():
    table = calibrate(small_model(), X, TENSORS)
    with pytest.raises(ValueError, match="not of this model"):
        calibrate(small_model(), X, ["x", "y"], into=table)


def test_a_table_is_enough_for_other_ranges(tmp_path):
    data, path = images(24), tmp_path / "t.npz"
    first = qkern.quantize_model(small_cnn(), data, "x86", "kl", effort="fast", checkpoint=path)
    for method in ("kl", "mse", "percentile"):
        again = qkern.quantize_model(small_cnn(), None, "x86", method, table=path)
        whole = qkern.quantize_model(small_cnn(), data, "x86", method, effort="fast")
        models = (ir.to_proto(each.model).SerializeToString(deterministic=True) for each in (again, whole))
        assert len(set(models)) == 1
    assert first.table.samples == 24


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"data": None}, "neither data nor a table"),
        ({"data": None, "table": CalibrationTable(), "effort": "best"}, "need samples"),
        ({"data": None, "table": CalibrationTable(), "budget": 30}, "need samples"),
        ({"data": images(2), "table": CalibrationTable()}, "give one of the two"),
    ],
)
def test_data_and_table_that_do_not_go_together(how, message):
    with pytest.raises(ValueError, match=message):
        qkern.quantize_model(small_cnn(), **how)


def test_kept_samples_are_evenly_spread_and_few():
    kept = KeptSamples(8)
    for start in range(0, 1000, 7):
        kept.add({"x": np.arange(start, min(start + 7, 1000))[:, None]})
    values = np.concatenate([feed["x"].ravel() for feed in kept])
    assert 4 <= len(values) == len(kept) <= 8
    assert values[0] == 0
    assert len(set(np.diff(values))) == 1
    single = KeptSamples(2)
    for _ in range(9):
        single.add({"flag": np.array(1.0), "x": np.zeros((3, 2))})
    assert 1 <= len(list(single)) <= 2


def test_samples_to_fit_to_and_to_judge_by_are_not_the_same():
    x, kept = np.arange(20, dtype=np.float32).reshape(20, 1), KeptSamples()
    for part in np.split(x, [7, 8]):
        kept.add({"x": part})
    fitted, judging = kept.split(3)
    seen = [np.concatenate([feed["x"] for feed in part]).ravel() for part in (fitted, judging)]
    np.testing.assert_array_equal(seen[1], np.arange(2, 20, 3))
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), x.ravel())
    assert [len(feed["x"]) for feed in fitted] == [8, 6]
    whole = KeptSamples(cut=False)  # a model that takes batches of four
    for number in range(4):
        whole.add({"x": np.full((4, 1), number, np.float32)})
    fitted, judging = whole.split(3)
    assert [[int(feed["x"][0, 0]) for feed in part] for part in (fitted, judging)] == [[0, 1, 3], [2]]
    few = KeptSamples()
    few.add({"x": x[:2]})
    for part in few.split(3):
        np.testing.assert_array_equal(part[0]["x"], x[:2])
