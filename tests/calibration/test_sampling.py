"""What a sample is: the rule on models as exporters write them, and data in each form by rows and by items."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import graph
from qkern.calibration import Feeds, InputSpec, Sampling
from qkern.demo import data
from qkern.model_file import load_model

W = np.eye(8, dtype=np.float32)
FLOAT = np.dtype(np.float32)


def sampling_of(text, samples=None, **arrays):
    return Sampling.of(ir.from_proto(graph(text, **arrays)), samples)


@pytest.mark.parametrize(
    ("text", "by_rows", "batch"),
    [
        ("(float[N, 8] x) => (float[N, 8] y) { y = MatMul(x, w) }", True, None),
        ("(float[N, 8] x) => (y) { y = MatMul(x, w) }", True, None),  # inferred
        ("(float[N, 8] x) => (float[Gemmoutput_dim_0, 8] y) { y = MatMul(x, w) }", True, None),
        ("(float[unk__1, 8] x) => (float[unk__2, 8] y) { y = MatMul(x, w) }", True, None),
        ("(float[?, 8] x) => (float[?, 8] y) { y = MatMul(x, w) }", True, None),  # the one dimension that there is
        ("(float[?, 8] x) => (float[?, 8] y) { y = Custom(x) }", False, None),
        ("(float[N, 8] x) => (float[N, 8] y) { y = Custom(x) }", True, None),  # nothing but the declaration tells
        ("(float[N, 8] x) => (float[M, 8] y) { y = Custom(x) }", False, None),
        ("(float[N, 8] x) => (y) { y = Custom(x) }", False, None),
        ("(float[N, 8] x, float[N, 8] z) => (y) { y = Add(x, z) }", True, None),
        ("(float[N, 8] x, float[M, 8] z) => (y) { y = Add(x, z) }", False, None),
        ("(float[?, 8] x, float[?, 8] z) => (float[?, 8] y) { y = Add(x, z) }", False, None),
        (
            "(float[B, 8] x, float[2, B, 8] s) => (y) { m = Mix(s) y = Add(x, m) }",
            False,
            None,
        ),
        ("(float[S, 8] x) => (y) { y = ReduceMax<axes=[0]>(x) }", False, None),
        ("(float[S, 8] x) => (float[S, 8] y) { y = ReduceMax<axes=[0]>(x) }", False, None),  # it says so, wrongly
        ("(float[N, 8] x) => (y, z) { y = MatMul(x, w) z = ReduceSum<keepdims=0>(x) }", False, None),
        ("(float[N, 8] x, float scale) => (y) { y = Mul(x, scale) }", False, None),
        ("(float[T, B, 8] x) => (y) { y = Transpose<perm=[1, 0, 2]>(x) }", False, None),
        ("(float[T, 8] x) => (y) { y = Reshape(x, shape) }", False, None),
        ("(float[4, 8] x) => (y) { y = MatMul(x, w) }", True, 4),
        ("(float[1, 8] x) => (float[1, 8] y) { y = Custom(x) }", True, 1),
        ("(float[1, 8] x) => (float[?, 8] y) { y = Custom(x) }", False, 1),
        (
            "(float[1, 8] x, float[2, 1, 8] s) => (y) { m = Mix(s) y = Add(x, m) }",
            False,
            None,
        ),
    ],
)
def test_axis_0_counts_samples_where_it_is_one_dimension(text, by_rows, batch):
    sampling = sampling_of(text, w=W, shape=np.array([4, -1], np.int64))
    assert (sampling.by_rows, sampling.batch) == (by_rows, batch)
    assert sampling.divisible == (by_rows and batch is None)


@pytest.mark.parametrize("name", ["?", "None", "-1", ""])
def test_a_name_that_says_unknown_is_none(name):
    for operator, by_rows in (("MatMul", True), ("Custom", False)):  # that is inferred, of this nothing is known
        proto = graph(f"(float[N, 8] x) => (float[N, 8] y) {{ y = {operator}(x, w) }}", w=W)
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = name
        assert Sampling.of(ir.from_proto(proto)).by_rows == by_rows


def test_the_demo_and_the_shared_networks_have_rows(shared):
    for path in (data.model_path(), *sorted((shared / "models").glob("*.onnx"))):
        assert Sampling.of(load_model(path)).divisible


def test_initializers_among_the_inputs_do_not_count():
    text = "(float[N, 8] x, float[8, 8] w) => (y) { y = MatMul(x, w) }"
    assert sampling_of(text, w=W).by_rows
    assert not sampling_of(text).by_rows


def test_the_word_of_the_caller_overrides_the_rule():
    rows, items = ("(float[N, 8] x) => (float[N, 8] y) { y = Custom(x) }", "(float[S, 8] x) => (y) { y = Custom(x) }")
    assert [sampling_of(text, "items").samples for text in (rows, items)] == ["items"] * 2
    assert [sampling_of(text, "axis0").samples for text in (rows, items)] == ["axis0"] * 2
    with pytest.raises(ValueError, match="samples: 'rows' is not one of axis0, items"):
        sampling_of(rows, "rows")
    with pytest.raises(ValueError, match="axis 0 can't count them, 'x' takes 1, 's' takes 2 along it; choose 'items'"):
        sampling_of("(float[1, 8] x, float[2, 1, 8] s) => (y) { y = Add(x, s) }", "axis0")


def test_the_model_is_left_as_it_is():
    model = ir.from_proto(graph("(float[?, 8] x) => (float[?, 8] y) { a = MatMul(x, w) y = Relu(a) }", w=W))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    Sampling.of(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


X = np.random.default_rng(3).normal(size=(5, 6, 8)).astype(np.float32)
SEQUENCE = Sampling((InputSpec("x", FLOAT, (None, 8)),), by_rows=False)


@pytest.mark.parametrize(
    ("source", "items", "known"),
    [
        (X[0], [X[0]], 1),
        ({"x": X[0], "other": 3}, [X[0]], 1),
        (X, list(X), 5),
        ({"x": X}, list(X), 5),
        (list(X), list(X), 5),
        ([X[0], X[1, :2], X[2, 0]], [X[0], X[1, :2], X[2, :1]], 3),  # lengths of their own; one position
        ([X[:2], {"x": X[2]}, X[3:]], list(X), 5),
        (iter(X), list(X), None),
        ([], [], 0),
    ],
)
def test_items_are_arrays_of_the_inputs_ranks_or_stacks_of_these(source, items, known):
    feeds = Feeds(source, SEQUENCE)
    assert feeds.samples == known
    if not items:
        with pytest.raises(ValueError, match="no calibration data"):
            list(feeds)
        return
    got = [feed["x"] for feed in feeds]
    assert len(got) == len(items)
    for one, other in zip(got, items, strict=True):
        assert one.flags.c_contiguous
        np.testing.assert_array_equal(one, other)


def test_items_in_files(tmp_path):
    np.save(tmp_path / "one.npy", X[0])
    np.savez(tmp_path / "some.npz", x=X[1:3])
    assert [feed["x"].shape for feed in Feeds(tmp_path, SEQUENCE)] == [(6, 8)] * 3
    np.save(tmp_path / "some.npy", X[:, :, :7])
    with pytest.raises(ValueError, match=r"some\.npy: input 'x' takes float32 \[\?, 8\], or items of that stacked"):
        list(Feeds(tmp_path, SEQUENCE))


def test_a_fixed_batch_is_an_item_and_many_of_them_a_stack():
    fixed = Sampling((InputSpec("x", FLOAT, (2, 8)),), by_rows=False)
    for source, count in ((X[0, :2], 1), (X[0], 3), (X[:, :2], 5), (X[:0, 0], 0)):
        assert Feeds(source, fixed).samples == count
        assert all(feed["x"].shape == (2, 8) for feed in (Feeds(source, fixed) if count else ()))
    with pytest.raises(ValueError, match=r"takes float32 \[2, 8\], or items of that .*, not float32 \[5, 8\]"):
        Feeds(X[0, :5], fixed)


def test_inputs_go_together_item_by_item():
    two = Sampling((InputSpec("x", FLOAT, (None, 8)), InputSpec("s", FLOAT, (2, None, 8))), by_rows=False)
    states = np.zeros((5, 2, 1, 8), np.float32)
    assert [{n: a.shape for n, a in feed.items()} for feed in Feeds({"x": X, "s": states}, two)] == [
        {"x": (6, 8), "s": (2, 1, 8)}
    ] * 5
    assert Feeds({"x": X[0], "s": states[0]}, two).samples == 1
    with pytest.raises(ValueError, match="different numbers of items: 'x' 1, 's' 5"):
        Feeds({"x": X[0], "s": states}, two)


class Tensor:
    """As torch's: a sequence of rows that NumPy makes an array of, or can't."""

    def __init__(self, array, readable=True):
        self.array, self.readable = array, readable
        self.shape, self.dtype = array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        if not self.readable:
            raise RuntimeError("call detach() first")
        return self.array


ROWS = Sampling((InputSpec("x", FLOAT, (None, 8)),))
ITEM = r"should be an array for 'x' \(float32 \[\?, 8\]\), or a mapping from input names to arrays"


@pytest.mark.parametrize("sampling", [ROWS, SEQUENCE], ids=["rows", "items"])
@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((X[0], np.zeros(6, int)), rf"a tuple of length 2 \(ndarray float32 \[6, 8\], .*\), and {ITEM}.*for x, _ in"),
        ([X[0], X[1]], rf"a list of length 2 \(.*\), and {ITEM}"),
        ((X[0],), rf"a tuple of length 1 \(.*\), and {ITEM}; .*item\[0\] for item in loader"),
        (({"x": X[0]}, None, "a.png"), r"a tuple of length 3 \(a dict of length 1, None, a str\)"),
        (None, rf"None, and {ITEM}"),
        (3.0, rf"a float, and {ITEM}"),
        ("a.npy", rf"a str, and {ITEM}"),
        (Tensor(X[0], readable=False), r"input 'x': NumPy can't make an array of a Tensor \(call detach\(\) first\)"),
        ({"x": [[1.0], [1.0, 2.0]]}, "input 'x': NumPy can't make an array of a list"),
        ([[0.5] * 8], r"input 'x' takes float32 \[\?, 8\].*, not float64 \[1, 8\]"),
        (X[0].astype(np.float16), r"input 'x' takes float32 \[\?, 8\].*, not float16 \[6, 8\]"),
        (X[0, :, :7], r"input 'x' takes float32 \[\?, 8\].*, not float32 \[6, 7\]"),
        ({"z": X[0], "label": 1}, "the data has no array for input 'x', only 'z', 'label'"),
        (np.where(X[0] > 0, X[0], np.float32("nan")), "input 'x': NaN in"),
    ],
)
def test_an_item_that_is_wrong_is_named_with_what_it_should_be(sampling, item, message):
    for source in ([X[0], X[1], item], iter([X[0], X[1], item])):
        with pytest.raises(ValueError, match=message) as caught:
            list(Feeds(source, sampling))
        assert "item 2" in str(caught.value)


def test_items_that_lack_an_input_or_differ_in_length_are_named():
    two = Sampling((InputSpec("x", FLOAT, (None, 8)), InputSpec("m", FLOAT, (None,))))
    good, mask = {"x": X[0], "m": X[0, :, 0]}, X[0, :5, 0]
    with pytest.raises(ValueError, match=r"item 1: the data has no array for input 'm', only 'x'"):
        list(Feeds([good, {"x": X[0]}], two))
    with pytest.raises(ValueError, match="item 1: the inputs have different numbers of samples: 'x' 6, 'm' 5"):
        list(Feeds([good, {"x": X[0], "m": mask}], two))
    with pytest.raises(ValueError, match=r"item 1 is a tuple of length 2 .*should be arrays for 'x' .* and 'm' "):
        list(Feeds([good, (X[0], X[0, :, 0])], two))
    with pytest.raises(ValueError, match=r"item 0: the model has 2 inputs \('x', 'm'\): the data has to name them"):
        list(Feeds([X[0]], two))


@pytest.mark.parametrize("sampling", [ROWS, SEQUENCE], ids=["rows", "items"])
def test_what_numpy_reads_is_taken(sampling):
    for source in (Tensor(X[0]), [Tensor(X[0])], {"x": Tensor(X[0])}, [{"x": Tensor(X[0])}]):
        np.testing.assert_array_equal(np.concatenate([feed["x"] for feed in Feeds(source, sampling)]), X[0])
    ids = Sampling((InputSpec("x", np.dtype(np.int64), (None, 3)),), sampling.by_rows)
    assert [feed["x"].tolist() for feed in Feeds([[[1, 2, 3]], ((4, 5, 6),)], ids)] == [[[1, 2, 3]], [[4, 5, 6]]]
