"""The command line: what it prints, writes and returns, and what it says when something is wrong."""

import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import qkern
from emulation import EMULATED
from onnx_text import graph
from qkern import cli, golden, pipeline
from qkern.cli.output import npz
from small_cnn import images, small_cnn


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    onnx.save(small_cnn(), folder / "model.onnx")
    np.savez(folder / "data.npz", image=images(20))
    np.save(folder / "labels.npy", np.arange(20) % 5)
    pipeline.quantize_model(folder / "model.onnx", folder / "data.npz", "x86").save(folder / "int8.onnx")
    return folder


@pytest.fixture
def files(made_once, tmp_path, monkeypatch):
    """A folder with a model, data, labels, and a model that is int8 already; also the current directory."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys, monkeypatch):
    # On a slow machine it would say how far it is.
    monkeypatch.setattr("qkern.cli.progress._SECONDS_BETWEEN_LINES", math.inf)

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_quantize_writes_the_int8_model_and_says_what_it_did(files, command):
    code, out, err = command("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx", "--target", "x86")
    assert code == 0
    assert err == ""
    assert (files / "new.onnx").read_bytes() == (files / "int8.onnx").read_bytes()
    for said in ("new.onnx", "x86: ", "20 samples, method", "0 float", "kB"):
        assert said in out


def test_quantize_passes_its_options_on(files, command):
    options = ("--target", "arm", "--method", "mse", "--exclude", "gemm_scores", "--exclude", "MaxPool", "--threads", 1)
    code, out, _ = command("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx", *options)
    assert code == 0
    expected = pipeline.quantize_model("model.onnx", images(20), "arm", "mse", ["gemm_scores", "MaxPool"])
    expected.save("expected.onnx")
    assert (files / "new.onnx").read_bytes() == (files / "expected.onnx").read_bytes()
    assert "gemm_scores" in out
    assert "excluded" in out


def test_saturation_safe_weights_can_be_turned_on_and_off(files, command):
    for flag, safe, target in (("--no-saturation-safe", False, "x86"), ("--saturation-safe", True, "arm")):
        options = ("--target", target, "--effort", "fast", flag)
        code, out, err = command("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx", *options)
        assert (code, err) == (0, "")
        assert ("none on AVX2 in 3 of 3 layers" in " ".join(out.split())) == safe
        expected = pipeline.quantize_model("model.onnx", images(20), target, effort="fast", saturation_safe=safe)
        expected.save("expected.onnx")
        assert (files / "new.onnx").read_bytes() == (files / "expected.onnx").read_bytes()


def test_what_was_lost_is_said_and_in_the_report(files, command):
    fast = ("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx", "--effort", "fast")
    _, out, _ = command(*fast)
    assert "judged on  " in out
    assert "warning" not in out
    every = [option for name in ("Conv", "Gemm", "Add", "GlobalAveragePool") for option in ("--exclude", name)]
    for page in ("report.json", "report.html"):
        code, out, err = command(*fast, *every, "--report", page)
        assert (code, err) == (0, "")
        assert "warning: no layer is int8" in out
        assert "no layer is int8" in (files / page).read_text()
    assert json.loads((files / "report.json").read_text())["judged"] > 0


def test_run_writes_and_describes_the_outputs(files, command):
    for model in ("model.onnx", "int8.onnx"):
        code, out, err = command("run", model, "--data", "data.npz", "-o", "out.npz", "--threads", 2)
        assert (code, err) == (0, "")
        with np.load("out.npz") as arrays:
            assert list(arrays) == ["scores"]
            np.testing.assert_array_equal(arrays["scores"], qkern.Session(model).run(None, {"image": images(20)})[0])
        for said in ("scores", "float32", "[20, 5]", "20 samples", "out.npz"):
            assert said in out
    os.remove("out.npz")
    code, out, _ = command("run", "model.onnx", "--data", "data.npz")
    assert code == 0
    assert "out.npz" not in out


@pytest.fixture
def sequences(files):
    """A model of sequences [S, 8] -> [1, 4], and sequences of two lengths in a folder."""
    rng = np.random.default_rng(3)
    axes, weight = np.array([0]), rng.normal(size=(8, 4)).astype(np.float32)
    text = "(float[S, 8] x) => (float[1, 4] y, float[S, 4] each) { each = MatMul(x, w) y = ReduceMax(each, axes) }"
    onnx.save(graph(text, 18, w=weight, axes=axes), files / "sequences.onnx")
    (files / "folder").mkdir()
    for number, length in enumerate((3, 5, 3)):
        np.save(files / "folder" / f"{number}.npy", rng.normal(size=(length, 8)).astype(np.float32))
    return weight, [np.load(path) for path in sorted((files / "folder").iterdir())]


def test_items_are_run_one_by_one(files, command, sequences):
    weight, items = sequences
    code, out, err = command("run", "sequences.onnx", "--data", "folder", "-o", "out.npz")
    assert (code, err) == (0, "")
    assert "3 samples" in out
    with np.load("out.npz") as arrays:
        assert list(arrays) == ["y", "each.0", "each.1", "each.2"]
        np.testing.assert_allclose(arrays["y"], [(x @ weight).max(axis=0, keepdims=True) for x in items], rtol=1e-5)
        for number, x in enumerate(items):
            np.testing.assert_allclose(arrays[f"each.{number}"], x @ weight, rtol=1e-5, atol=1e-6)


def test_images_of_different_sizes_are_written_one_by_one(files, command):
    text = "(float[N, 1, H, W] x) => (float[N, 1, H, W] y, float[N, K] z) { y = Relu(x) z = Flatten(x) }"
    onnx.save(graph(text, 18), files / "sizes.onnx")
    (files / "folder").mkdir()
    images = [np.full((count, 1, 2, size), size, np.float32) for count, size in ((2, 3), (1, 4), (1, 0))]
    for number, array in enumerate(images):
        np.save(files / "folder" / f"{number}.npy", array)
    code, out, err = command("run", "sizes.onnx", "--data", "folder", "-o", "out.npz")
    assert (code, err) == (0, "")
    assert "4 arrays" in out
    with np.load("out.npz") as arrays:
        assert list(arrays) == [f"{name}.{i}" for name in ("y", "z") for i in range(4)]
        assert [arrays[f"y.{i}"].shape for i in range(4)] == [(1, 1, 2, 3), (1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 0)]
        np.testing.assert_array_equal(arrays["y.2"], images[1])


def test_samples_are_what_the_option_says(files, command, sequences):
    arguments = ("quantize", "sequences.onnx", "--data", "folder", "-o", "new.onnx", "--effort", "fast")
    for option, samples in (((), 3), (("--samples", "items"), 3), (("--samples", "axis0"), 11)):
        code, out, err = command(*arguments, *option)
        assert (code, err) == (0, "")
        assert f"on {samples} samples" in out
    code, out, err = command(*arguments, "--report", "report.json", "--samples", "axis0")
    report = json.loads((files / "report.json").read_text())
    assert report["samples"] == report["comparison"]["samples"] == 11
    code, out, err = command("compare", "sequences.onnx", "new.onnx", "--data", "folder", "--samples", "items")
    assert (code, err) == (0, "")
    assert "3 samples" in out
    assert "'rows' is not one of" in command(*arguments, "--samples", "rows")[2]
    np.save("folder/2.npy", np.zeros((3, 7), np.float32))
    assert command(*arguments)[2].startswith("qkern: folder/2.npy: input 'x' takes float32 [?, 8]")


def test_a_table_of_another_model_or_other_data_is_refused(files, command, sequences):
    options = ("-o", "new.onnx", "--calibration-table", "table.npz", "--effort", "fast")
    assert command("quantize", "sequences.onnx", "--data", "folder", *options)[0] == 0
    table = (files / "table.npz").read_bytes()
    onnx.save(graph("(float[S, 8] x) => (float[1, 4] y) { each = MatMul(x, w) y = ReduceMax(each, axes) }", 18,
        w=sequences[0] + 1, axes=np.array([0])), files / "other.onnx")  # fmt: skip
    for arguments in (("other.onnx", "--data", "folder"), ("other.onnx",)):
        code, out, err = command("quantize", *arguments, *options)
        assert (code, out) == (2, "")
        assert err.startswith("qkern: table.npz: the calibration table is of another model")
    np.save("folder/1.npy", sequences[1][0])
    code, _, err = command("quantize", "sequences.onnx", "--data", "folder", *options)
    assert code == 2
    assert err == "qkern: table.npz: the calibration table is of other data: its 3 samples differ\n"
    assert (files / "table.npz").read_bytes() == table


def test_compare_prints_a_table_and_writes_json(files, command):
    code, out, err = command(
        *("compare", "model.onnx", "int8.onnx", "--data", "data.npz", "--labels", "labels.npy", "--json", "c.json")
    )
    assert (code, err) == (0, "")
    for said in ("top-1", "same top-1", "SQNR", "dB", "size", "latency", "20 samples", qkern.isa.active()):
        assert said in out
    figures = json.loads((files / "c.json").read_text())
    assert figures["samples"] == 20
    assert figures["sqnr_db"] > 20
    assert figures["agreement"] > 0.8
    assert figures["top1_float"] is not None
    assert figures["size_float"] == os.path.getsize("model.onnx")
    assert figures["left_float"] == []


def test_every_command_takes_the_fallback(files, command):
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 4] y)
        { a = MatMul(x, w) [name_of_selu] y = Selu(a) }"""
    )
    weights = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(proto, "selu.onnx")
    np.savez("x.npz", x=np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32))
    calls = (
        ("quantize", "selu.onnx", "--data", "x.npz", "-o", "int8.onnx", "--report", "report.json"),
        ("run", "selu.onnx", "--data", "x.npz"),
        ("compare", "selu.onnx", "int8.onnx", "--data", "x.npz"),
        ("explain", "selu.onnx"),
    )
    for call in calls:
        code, out, err = command(*call, "--fallback", "reference")
        assert (code, err) == (0, "")
    assert "reference" in out
    for call in calls:
        code, _, err = command(*call, "--fallback", "none")
        assert code == 2
        assert "node 'name_of_selu' (Selu) can't run" in err


def test_info_tells_the_machine_and_its_tiers(command):
    code, out, err = command("info", "--json")
    assert (code, err) == (0, "")
    machine = json.loads(out)
    assert list(machine["tiers"]) == qkern.isa.compiled()
    states = {name: tier["state"] for name, tier in machine["tiers"].items()}
    assert [name for name, state in states.items() if state == "active"] == [qkern.isa.active()]
    assert {name for name, state in states.items() if state != "not available"} == set(qkern.isa.available())
    assert all(tier["why"] for tier in machine["tiers"].values() if tier["state"] == "not available")
    assert machine["qkern"] == qkern.__version__
    assert machine["threads"] == qkern.get_num_threads()
    active = qkern.isa.active()
    code, out, _ = command("info")
    assert code == 0
    for said in (*qkern.isa.compiled(), machine["cpu"], machine["compiler"], qkern.__version__):
        assert said in out
    assert qkern.isa.active() == active


def test_info_verifies_the_bits_of_this_processor(command, monkeypatch):
    if EMULATED:  # minutes on all tiers; test_golden.py has them on the best one
        monkeypatch.setattr(golden, "MODEL_CASES", {})
    code, out, err = command("info", "--verify", "--json")
    assert (code, err) == (0, "")
    verified = json.loads(out)["verified"]
    assert list(verified) == qkern.isa.available()
    cases = (*golden.KERNEL_CASES, *golden.MODEL_CASES)
    assert all(passed == dict.fromkeys(cases, True) for passed in verified.values())
    monkeypatch.setattr(golden, "MODEL_CASES", {})
    monkeypatch.setattr(golden, "expected", lambda: dict.fromkeys(golden.KERNEL_CASES, "0"))
    code, out, _ = command("info", "--verify")
    assert code == 1
    assert "DIFFERS" in out


def test_help_and_version(command):
    code, out, _ = command("--help")
    assert code == 0
    for name in ("quantize", "run", "compare", "explain", "info", "demo"):
        assert name in out
        assert command(name, "-h")[0] == 0
    assert command("--version")[1].strip() == f"qkern {qkern.__version__}"


QUANTIZE = ("quantize", "model.onnx", "--data", "data.npz", "-o", "new.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quantise",), "No such command 'quantise'"),
        (("quantize", "model.onnx"), "Missing option"),
        ((*QUANTIZE, "--target", "mips"), "'mips' is not one of"),
        ((*QUANTIZE, "--method", "best"), "'best' is not one of"),
        ((*QUANTIZE, "--threads", "0"), "--threads"),
        ((*QUANTIZE, "--exclude", "gemm"), "no node or operator 'gemm'"),
        (("quantize", "nowhere.onnx", *QUANTIZE[2:]), "nowhere.onnx: no such file"),
        (("quantize", "data.npz", *QUANTIZE[2:]), "data.npz: not an ONNX model"),
        (("quantize", "int8.onnx", *QUANTIZE[2:]), "quantized already"),
        (("quantize", "model.onnx", "--data", "nowhere.npz", *QUANTIZE[4:]), "nowhere.npz: no such file"),
        (("quantize", "model.onnx", "--data", "labels.npy", *QUANTIZE[4:]), "input 'image' takes float32"),
        (("quantize", "model.onnx", "--data", "model.onnx", *QUANTIZE[4:]), "model.onnx: not a NumPy file"),
        (("quantize", "model.onnx", "--data", "nan.npz", *QUANTIZE[4:]), "input 'image': NaN in sample 3"),
        (("quantize", "model.onnx", "--data", "empty", *QUANTIZE[4:]), "no calibration data: empty holds no"),
        ((*QUANTIZE[:-1], "no/new.onnx"), "no/new.onnx: there is no folder no"),
        ((*QUANTIZE[:-1], "empty"), "empty: is a folder"),
        ((*QUANTIZE[:-1], "model.onnx"), "model.onnx: would overwrite the input"),
        (("run", "model.onnx", "--data", "data.npz", "-o", "no/out.npz"), "there is no folder no"),
        (("run", "model.onnx", "--data", "data.npz", "-o", "data.npz"), "would overwrite the input"),
        (("compare", "model.onnx", "int8.onnx", "--data", "data.npz", "--labels", "no.npy"), "no.npy: no such file"),
        (("compare", "model.onnx", "int8.onnx", "--data", "data.npz", "--labels", "data.npz"), "have to be one array"),
        (("compare", "model.onnx", "int8.onnx", "--data", "data.npz", "--labels", "model.onnx"), "not a NumPy file"),
        (("compare", "model.onnx", "int8.onnx", "--data", "data.npz", "--json", "no/c.json"), "there is no folder no"),
        (("explain", "nowhere.onnx"), "nowhere.onnx: no such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2_and_leaves_nothing(files, command, arguments, message):
    x = images(20)
    x[3, 0, 0, 0] = np.nan
    np.savez("nan.npz", x)
    (files / "empty").mkdir()
    before = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    code, out, err = command(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("qkern: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


def test_an_unwritable_output_is_refused_before_the_work(files, command, monkeypatch):
    def work(*_, **__):
        raise AssertionError("worked although the output can't be written")

    monkeypatch.setattr(pipeline, "quantize_model", work)
    assert command(*QUANTIZE[:-1], "no/new.onnx")[0] == 2
    monkeypatch.setattr(
        "tempfile.TemporaryFile", lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )
    code, _, err = command(*QUANTIZE)
    assert code == 2
    assert "new.onnx: can't write in . (Read-only file system)" in err


def test_ctrl_c_returns_130_and_leaves_nothing(files, command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = sorted(os.listdir())
    monkeypatch.setattr("qkern.calibration.histogram_observer.HistogramObserver.update", interrupted)
    code, _, err = command(*QUANTIZE)
    assert code == 130
    assert err.splitlines()[-1] == "qkern: interrupted"
    monkeypatch.undo()
    monkeypatch.chdir(files)
    monkeypatch.setattr("os.replace", interrupted)
    assert command(*QUANTIZE)[0] == 130
    assert command("run", "model.onnx", "--data", "data.npz", "-o", "out.npz")[0] == 130
    assert sorted(os.listdir()) == before


def test_a_failure_is_exit_code_1_and_a_traceback_only_on_demand(files, command, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the disk\nis on fire")

    monkeypatch.setattr(pipeline, "quantize_model", fail)
    assert command(*QUANTIZE) == (1, "", "qkern: RuntimeError: the disk is on fire\n")
    monkeypatch.setenv("QKERN_DEBUG", "1")
    with pytest.raises(RuntimeError, match="on fire"):
        command(*QUANTIZE)


@pytest.mark.parametrize("gone", ["click", "rich", "onnx", "onnxscript"])
def test_without_the_extra_it_says_how_to_get_it(command, monkeypatch, gone):
    find = cli.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == gone else find(name))
    code, out, err = command("info")
    assert (code, out) == (2, "")
    assert err == f'qkern: the command line needs {gone}: pip install "qkern[onnx]"\n'


def test_the_module_is_the_command(files):
    done = subprocess.run([sys.executable, "-m", "qkern", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"qkern {qkern.__version__}")
    done = subprocess.run([sys.executable, "-m", "qkern", "quantise"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


def test_an_output_may_have_any_name(tmp_path):
    arrays = {"file": np.ones(3), "/a/b": np.zeros((2, 0), np.int64), "allow_pickle": np.float32(2)}
    (tmp_path / "out.npz").write_bytes(npz({name: np.asarray(array) for name, array in arrays.items()}))
    with np.load(tmp_path / "out.npz") as loaded:
        assert list(loaded) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert loaded[name].dtype == np.asarray(array).dtype


@pytest.mark.skipif(os.name != "posix", reason="a device of POSIX")
def test_an_output_that_is_a_device_is_written_to(files, command):
    (files / "sink").symlink_to(os.devnull)
    assert command("run", "model.onnx", "--data", "data.npz", "-o", "sink")[0] == 0
    assert (files / "sink").is_symlink()
    assert not (files / "sink").is_file()
