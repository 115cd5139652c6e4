"""Calibration that is interrupted, resumed, and read again without a run of the model."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from qkern.calibration import CalibrationTable, InputSpec, KeptSamples, Sampling, TableMismatchError, calibrate
from qkern.calibration.fingerprint import fingerprint_of_model, fingerprint_of_samples
from small_cnn import images, small_cnn
from test_calibrate import TENSORS, W, X, small_model


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
    x[17] = np.inf  # NaN in y, after x was seen
    table = CalibrationTable()
    with pytest.raises(ValueError, match="NaN in the data"):
        calibrate(small_model(), x, TENSORS, into=table)
    assert table.samples == 16
    assert dict(table) == dict(calibrate(small_model(), x[:16], TENSORS))


def test_resuming_inside_a_batch_passes_over_what_was_seen():
    table = calibrate(small_model(), X[:5], TENSORS)
    calibrate(small_model(), X, TENSORS, into=table)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))


def test_the_table_of_another_model_is_not_resumed():
    table = calibrate(small_model(), X, TENSORS)
    with pytest.raises(ValueError, match="is of other tensors; were other nodes excluded"):
        calibrate(small_model(), X, ["x", "y"], into=table)


def bytes_of(table, path):
    table.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("cut", [[X], list(X), [X[:3], X[3:5], X[5:]], X[::-1]])
def test_the_file_does_not_depend_on_batches_or_their_order(cut, tmp_path):
    files = [bytes_of(calibrate(small_model(), data, TENSORS), tmp_path / "t.npz") for data in (X, cut)]
    assert files[0] == files[1]


def other_weights():
    model = small_model()
    model.graph.initializers["w"].const_value = ir.tensor(
        W + np.float32(1e-3) * (np.arange(W.size) == 7).reshape(W.shape)
    )
    return model


def other_node():
    model = small_model()
    next(node for node in model.graph if node.op_type == "Relu").op_type = "Abs"
    return model


@pytest.mark.parametrize("seen", [8, 21])
@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (other_weights, X, "of another model"),
        (other_node, X, "of another model"),
        (small_model, X[::-1][:21] + 1, "of other data: its (8|21) samples differ"),
        (small_model, np.where(np.arange(21)[:, None] == 4, X + 1, X), "of other data"),
        (small_model, X[:5], "has seen (8|21) samples, of 5 there are"),
    ],
)
def test_a_table_of_another_model_or_other_data_is_refused_and_stays(seen, model, data, message, tmp_path):
    table = calibrate(small_model(), X[:seen], TENSORS)
    before = bytes_of(table, tmp_path / "t.npz")
    resumed = CalibrationTable.load(tmp_path / "t.npz")
    with pytest.raises(TableMismatchError, match=message):
        calibrate(model(), data, TENSORS, into=resumed)
    assert bytes_of(resumed, tmp_path / "t.npz") == before
    calibrate(small_model(), X, TENSORS, into=resumed)
    assert bytes_of(resumed, tmp_path / "t.npz") == bytes_of(calibrate(small_model(), X, TENSORS), tmp_path / "u.npz")


def test_items_are_resumed_like_rows(tmp_path):
    table = calibrate(small_model(), [X[:5], X[5:7]], TENSORS, samples="items")
    assert table.samples == 2
    table.save(tmp_path / "t.npz")
    resumed = CalibrationTable.load(tmp_path / "t.npz")
    calibrate(small_model(), [X[:5], X[5:7], X[7:]], TENSORS, into=resumed, samples="items")
    whole = calibrate(small_model(), [X[7:], X[:5], X[5:7]], TENSORS, samples="items")
    assert bytes_of(resumed, tmp_path / "t.npz") == bytes_of(whole, tmp_path / "u.npz")
    with pytest.raises(TableMismatchError, match="of other data"):
        calibrate(small_model(), X, TENSORS, into=whole)  # the same numbers, other samples


def test_tables_of_different_models_do_not_merge():
    table, other = calibrate(small_model(), X[:8], TENSORS), calibrate(other_weights(), X[8:], TENSORS)
    with pytest.raises(TableMismatchError, match="of another model"):
        table.merge(other)
    assert table.samples == 8
    table.merge(calibrate(small_model(), X[8:], TENSORS))
    calibrate(small_model(), X, TENSORS, into=table)  # has them all


def test_a_table_saved_without_fingerprints_is_read_and_taken(tmp_path):
    table = calibrate(small_model(), X[:8], TENSORS)
    table.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as arrays:
        np.savez_compressed(tmp_path / "old.npz", **{k: a for k, a in arrays.items() if k not in ("model", "data")})
    old = CalibrationTable.load(tmp_path / "old.npz")
    assert (old.model, old.data, old.samples) == ("", None, 8)
    calibrate(small_model(), X, TENSORS, into=old)
    assert dict(old) == dict(calibrate(small_model(), X, TENSORS))


def test_words_have_fingerprints_too():
    def with_words(*words):
        model = small_model()
        model.graph.initializers["words"] = ir.Value(name="words", const_value=ir.tensor(list(words), name="words"))
        return model

    found = [fingerprint_of_model(with_words(*words)) for words in (("a", "bc"), ("a", "bc"), ("ab", "c"))]
    assert found[0] == found[1] != found[2]
    sampling = Sampling((InputSpec("x", np.dtype(object), (None,)),))
    feeds = [{"x": np.array(words, object)} for words in (["a", "bc"], ["bc", "a"], ["ab", "c"])]
    one, same, other = (fingerprint_of_samples(feed, sampling) for feed in feeds)
    assert one == same != other


@pytest.mark.parametrize("seen", [8, 24])
def test_a_checkpoint_of_another_model_or_other_data_is_refused(seen, tmp_path):
    data, path, other = images(24), tmp_path / "t.npz", small_cnn()
    weight = other.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
    how = {"target": "x86", "effort": "fast", "checkpoint": path}
    qkern.quantize_model(small_cnn(), data[:seen], **how)
    before = path.read_bytes()
    for model, samples, message in ((other, data, "of another model"), (small_cnn(), images(24, seed=1), "other data")):
        with pytest.raises(ValueError, match=rf"t\.npz: the calibration table is of {message.removeprefix('of ')}"):
            qkern.quantize_model(model, samples, **how)
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match="of another model"):
        qkern.quantize_model(other, None, "x86", table=path)
    resumed = qkern.quantize_model(small_cnn(), data, **how)
    whole = qkern.quantize_model(small_cnn(), data, "x86", effort="fast", checkpoint=tmp_path / "u.npz")
    assert path.read_bytes() == (tmp_path / "u.npz").read_bytes()
    models = [ir.to_proto(each.model).SerializeToString(deterministic=True) for each in (resumed, whole)]
    assert models[0] == models[1]


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


def test_kept_samples_of_different_shapes_are_joined_with_their_likes():
    kept = KeptSamples(batch=2)
    for size in (4, 5, 4, 4, 5, 4):
        kept.add({"x": np.full((1, size), size)})
    assert [feed["x"].shape for feed in kept] == [(2, 4), (2, 4), (2, 5)]
    assert len(kept) == 6
    assert [feed["x"].shape for part in kept.split(3) for feed in part] == [(2, 4), (2, 5), (2, 4)]


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize(("seen", "step"), [(1, 1), (5, 1), (8, 1), (9, 2), (20, 3)])
def test_a_few_of_the_kept_samples_are_spread_over_all(cut, seen, step):
    kept = KeptSamples(batch=4, cut=cut)
    for number in range(seen):
        kept.add({"x": np.full((1, 2), number)})
    feeds = [feed["x"][:, 0].tolist() for feed in kept.few(8)]
    assert [number for feed in feeds for number in feed] == list(range(0, seen, step))
    assert max(map(len, feeds)) <= (4 if cut else 1)


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
