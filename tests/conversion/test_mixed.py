"""`weights="mixed"`: 4 bits where they cost least, for a size or an accuracy."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from emulation import smaller
from onnx import helper, numpy_helper
from qkern.conversion.mixed import Attempt, MixedDemand, search_mixed

SIZES = (48, 96, 96, 64, 10)
RNG = np.random.default_rng(2)
X = RNG.normal(size=(60, SIZES[0])).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """A multilayer perceptron."""
    nodes, constants, x = [], [], "x"
    for number, (before, after) in enumerate(itertools.pairwise(SIZES)):
        w = RNG.normal(size=(after, before)) / np.sqrt(before)
        arrays = {f"w{number}": w, f"b{number}": RNG.normal(size=after)}
        constants += [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
        y = "y" if number == len(SIZES) - 2 else f"z{number}"
        nodes.append(helper.make_node("Gemm", [x, *arrays], [y], f"layer{number}", transB=1))
        x = f"r{number}"
        nodes.append(helper.make_node("Relu", [y], [x], f"relu{number}"))
    x, y = (helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in (("x", SIZES[0]), ("y", SIZES[-1])))
    graph = helper.make_graph(nodes[:-1], "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_four_bits(quantized):
    """The names of the layers whose weights have 4 bits."""
    proto = ir.to_proto(quantized.model)
    nodes = {output: node for node in proto.graph.node for output in node.output}
    layers = [node for node in proto.graph.node if node.op_type == "Gemm"]
    behind = {node.name: nodes[node.input[1]].input[0] for node in layers if node.input[1] in nodes}  # not of floats
    return {name for name, codes in behind.items() if codes in nodes and nodes[codes].op_type == "Gather"}


@pytest.mark.parametrize("size", smaller([0.9, 0.8], [0.8]))
def test_a_share_of_the_int8_file(network, size, tmp_path):
    plain = qkern.quantize_model(network, X, "x86", "minmax")
    mixed = qkern.quantize_model(network, X, "x86", "minmax", weights="mixed", size=size)
    for name, each in (("plain", plain), ("mixed", mixed)):
        each.save(tmp_path / name)
    plain_bytes, mixed_bytes = ((tmp_path / name).stat().st_size for name in ("plain", "mixed"))
    assert mixed_bytes <= size * plain_bytes
    assert in_four_bits(mixed)
    (note,) = (note for note in mixed.report.notes if "4 bits" in note)
    assert note.startswith(
        f"weights of {len(in_four_bits(mixed))} layers have 4 bits: {mixed_bytes / plain_bytes:.3f} of"
    )


def test_as_much_as_the_outputs_tolerate(network):
    def sqnr(quantized):
        f, q = (s.run(None, {"x": X})[0].astype(np.float64) for s in (qkern.Session(network), quantized.session()))
        return 10 * np.log10((f**2).sum() / ((f - q) ** 2).sum())

    layers, reached = [], []
    for budget in (0.0, 28.0, 100.0):
        quantized = qkern.quantize_model(network, X, "x86", "minmax", weights="mixed", budget=budget)
        layers.append(in_four_bits(quantized))
        reached.append(sqnr(quantized))
    assert layers[0] == {"layer0", "layer1", "layer2"}  # 4 bits save the last one nothing
    assert 0 < len(layers[1]) < 3
    assert reached[1] > 27
    assert not layers[2]  # int8 itself is below that: layers stay float
    assert quantized.budget is not None


def test_a_size_out_of_reach(network):
    with pytest.raises(ValueError, match=r"size: 0\.3 of the int8 file's \d+ bytes is out of reach: .* is 0\.7"):
        qkern.quantize_model(network, X, "x86", "minmax", weights="mixed", size=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "mixed"}, "'mixed' needs size or budget, one of the two"),
        ({"weights": "mixed", "size": 0.7, "budget": 20.0}, "'mixed' needs size or budget, one of the two"),
        ({"weights": "mixed", "size": 0.0}, "size: 0.0 is not a share"),
        ({"weights": "mixed", "size": float("nan")}, "size: nan is not a share"),
        ({"weights": "mixed", "size": 1.5}, "size: 1.5 is not a share"),
        ({"weights": "mixed", "size": 0.7, "effort": "fast"}, "measures layers, which takes data and effort"),
        ({"weights": "nf4", "size": 0.7}, "size: it goes with weights='mixed'"),
        ({"size": 0.7}, "size: it goes with weights='mixed'"),
        ({"weights": {"default": "mixed"}}, r"weights\['default'\]: 'mixed' is not one of int8, codebook4"),
    ],
)
def test_demands_that_say_nothing(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        qkern.quantize_model(network, X, **arguments)


NOISE = {"a": 8.0, "b": 1.0, "c": 4.0, "d": 0.5, "tiny": 0.0}
BYTES = {"a": 4000, "b": 1000, "c": 1000, "d": 2000, "tiny": 10}


def attempt(names):
    """Noise adds up; each layer saves half of its bytes; what they share takes 7 bytes once."""
    noise = 1 + sum(NOISE[name] for name in names)
    return Attempt(noise, -10 * np.log10(noise), 10_000 - sum(BYTES[name] // 2 for name in names) + 7 * bool(names))


def searched(**demand):
    """Names of the layers that get 4 bits."""
    return {cost.name for cost in search_mixed(BYTES, attempt, MixedDemand(**demand), lambda name: None).layers}


def test_a_size_is_reached_with_the_least_noise():
    for most in range(6007, 10_001, 31):
        found = searched(size=most / 10_000)
        ways = (names for count in range(5) for names in itertools.combinations("abcd", count))
        # What is shared counts in each layer's saving, so 4 times where it is needed once.
        least = min(attempt(names).noise for names in ways if attempt(names).bytes + 21 <= most or len(names) == 4)
        assert attempt(found).bytes <= most
        assert attempt(found).noise <= least, (most, found)
    assert searched(size=1.0) == set()
    with pytest.raises(ValueError, match=r"out of reach: .* it has 6007, which is 0\.601 of it"):
        searched(size=0.6)


def test_an_accuracy_is_kept_with_the_most_saving():
    for noise, expected in ((0.9, ""), (1.4, ""), (1.6, "d"), (2.6, "db"), (10.6, "dba"), (15.0, "dbac")):
        assert searched(sqnr=-10 * np.log10(noise)) == set(expected), noise
