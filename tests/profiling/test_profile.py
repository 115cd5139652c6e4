"""The result of a profile: figures, table, JSON, and what it says in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_up import LIMITS, best_of, layer, plain
from qkern.profiling import Profile
from qkern.profiling.profile import COLUMNS


def profile(*steps, overhead=0.0, elapsed=None, runs=7):
    total = overhead + sum(step.seconds for step in steps)
    elapsed = total if elapsed is None else elapsed
    return Profile(steps, overhead=overhead, elapsed=elapsed, runs=runs, limits=LIMITS)


STEPS = (
    plain("QuantizeLinear", "convert", seconds=2e-3),
    layer(seconds=10e-3, name="first/of/a/name/that/is/too/long/to/be/shown/whole"),
    plain("Selu", "onnxruntime", seconds=4e-3, note="Selu has no kernel"),
    plain("Add", "int8", seconds=1e-3),
)


def test_total_is_the_steps_and_what_is_between_them():
    found = profile(*STEPS, overhead=3e-3)
    assert found.total == pytest.approx(20e-3)
    assert found.overhead == 3e-3
    assert "20 ms a run, of which 3 ms (15 %) between the steps; medians of 7 runs on 1 thread" in found.totals
    assert "other processes" not in found.totals
    assert "interrupted by other processes, 40 ms" in profile(*STEPS, elapsed=40e-3).totals


def test_figures_of_a_step():
    [step] = profile(layer(seconds=0.01)).steps
    macs = 3136 * 64 * 576
    assert (step.macs, step.nbytes) == (macs, 3136 * (32 + 64) + 64 * 576)
    assert step.gops == pytest.approx(2 * macs / 0.01 / 1e9)
    assert step.percent == pytest.approx(100 * 2 * macs / 100e9 / 0.01)
    assert (step.number, step.kind, step.kernel, step.tier, step.bound) == (0, "int8", "int8 direct", "avx2", "peak")
    [foreign] = profile(STEPS[2]).steps
    assert (foreign.gops, foreign.percent, foreign.bound, foreign.tier) == (None, None, "", "")
    assert foreign.reason == "Selu has no kernel"


def test_steps_are_sorted_by_time():
    found = profile(*STEPS)
    assert [step.number for step in found.ordered("time")] == [1, 2, 0, 3]
    assert found.ordered() == found.steps
    with pytest.raises(ValueError, match="sort: 'size'"):
        found.ordered("size")
    assert [step["number"] for step in found.as_dict("time")["steps"]] == [1, 2, 0, 3]


def test_json_has_every_figure():
    found = json.loads(profile(*STEPS, overhead=3e-3).to_json())
    assert found["total"] == pytest.approx(20e-3)
    assert {"overhead", "elapsed", "runs", "threads", "limits", "summary"} <= found.keys()
    assert found["limits"]["gops"] == {"avx2 int8": 100.0, "avx2 float32": 50.0}
    assert found["limits"]["read_gb_per_s"] == {"1024": 10.0, "1048576": 5.0}
    conv = found["steps"][1]
    assert conv["inputs"] == [{"shape": [1, 3136, 32], "dtype": "uint8"}]
    assert conv["percent"] == pytest.approx(100 * conv["bound_seconds"] / conv["seconds"])
    assert conv["name"] == STEPS[1].name
    assert found["steps"][2]["percent"] is None


def test_the_text_is_a_table_with_its_words():
    text = repr(profile(*STEPS))
    lines = text.splitlines()
    assert len(lines) == 1 + len(STEPS) + 4
    assert lines[-2] == "avx2 at best: int8 100 GOPS, float32 50 GOPS; reading 10 GB/s (1 KiB) to 5 GB/s (1 MiB)"
    assert [lines[0].index(name) for name in COLUMNS] == sorted(lines[0].index(name) for name in COLUMNS)
    for said in (
        "first/of/a/name..",
        "u8[1,3136,32] -> u8[1,3136,64]",
        "116 M",
        "2.1 MB",
        "10 ms",
        "% peak",
        "% memory",
    ):
        assert said in text
    assert lines[3].endswith("Selu has no kernel")
    assert "The time goes to" in lines[-1]


def test_a_program_without_steps():
    found = profile()
    assert found.total == 0
    assert "Nothing is computed." in repr(found)
    json.loads(found.to_json())


def test_words_name_the_largest_groups_and_their_bound():
    words = profile(*STEPS, overhead=3e-3).summary
    assert words.startswith(
        "The time goes to int8 layers (at 23 % of their bound): 50 %, steps in ONNX Runtime (Selu): 20 %"
    )
    assert "what passes between the steps: 15 %" in words
    assert "conversions (float, codes, order of axes): 10 %." in words
    assert "operators that qkern has kernels for instead of Selu" in words
    assert "larger batches (the time between the steps is per run)" in words


def test_a_float_model_is_told_of_int8():
    step = layer(seconds=1.0, kind="float")
    words = profile(step, plain("Softmax", "float", seconds=0.1)).summary
    assert "What would help: int8 (qkern quantize): its instructions do 2.0 times what float32's do here." in words


def test_float_steps_of_an_int8_model_are_named_with_their_reason():
    floats = [layer(seconds=s, kind="float", name=f"conv_{s}", note="excluded by name") for s in (0.1, 0.3)]
    words = profile(layer(seconds=1.0), *floats).summary
    assert "int8 for the 2 float steps, Conv 'conv_0.3' first (excluded by name)" in words
    assert "int8 for" not in profile(layer(seconds=100.0), *floats).summary  # too little of the time


def test_layers_that_wait_for_weights_are_told_of_batches():
    words = profile(layer(rows=1, cols=1024, depth=1024, seconds=3e-4)).summary
    assert "larger batches (1 layer reads weights for few rows)" in words
    assert "in layers that wait for their weights" in words
    assert "weights for few rows" not in profile(layer(seconds=1.0), layer(rows=1, cols=1024, seconds=3e-4)).summary


def test_what_is_lost_is_said_by_cause():
    shallow = layer(depth=27, seconds=1.0)
    words = profile(shallow, shallow, plain("Resize", "int8", seconds=1.0)).summary
    assert "what it takes longer is 67 % in shallow layers and 33 % in Resize." in words
    assert "No single change would help much." in words
    python = replace(layer(depth=27, seconds=1.0, op_type="ConvTranspose"), from_python=True)
    table = replace(plain("Add", "int8", seconds=2.0), route="table")
    assert "is 67 % in tables and 33 % in ConvTranspose." in profile(python, table).summary


def test_conversions_inside_of_the_graph_are_one_s_own():
    convert = plain("DequantizeLinear", "convert", seconds=1.0, to="float32")
    turn = plain("Transpose", "convert", seconds=1.0)
    one = layer(seconds=1.0)
    assert "fewer changes" in profile(one, convert, one).summary
    for steps in ((convert, one, convert), (one, turn, one), (convert,)):  # inputs and outputs; the order of axes
        assert "fewer changes" not in profile(*steps).summary


def test_at_its_bound_nothing_is_lost():
    step = layer(seconds=1.0)
    at_best = layer(seconds=best_of(step))
    words = profile(at_best).summary
    assert "With every step at its bound a run would take 100 % of it." in words
