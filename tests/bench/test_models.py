"""Whole models in the benchmark: what is made of a result, and a run of the demo's network in pieces."""

from __future__ import annotations

import json
import runpy
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import qkern
from emulation import smaller
from qkern.demo import data

from bench import accuracy as real_images
from bench.contest import WrongAnswerError
from bench.models import chart, command, files, measure, networks, page, targets
from bench.models.contestants import Contestant, contestants
from bench.models.table import settings
from bench.report import publish

onnx = pytest.importorskip("onnx", reason="models need the extra [onnx]")

FP32 = Contestant("qkern FP32, avx2", "qkern", "fp32", tier="avx2")
INT8 = Contestant("qkern int8, avx2", "qkern", "int8", "qkern.onnx", "auto", "avx2")
DIRECT = Contestant("qkern int8, direct, avx2", "qkern", "int8", "qkern.onnx", "direct", "avx2")
PEER = Contestant("onnxruntime int8", "onnxruntime", "int8", "ort_default.onnx", "default", twin="exact")
EXACT = Contestant("exact", "onnxruntime", "int8", "ort_default.onnx", "exact")
PEER_FP32 = Contestant("onnxruntime FP32", "onnxruntime", "fp32")
ENTERING = [FP32, INT8, DIRECT, PEER_FP32, PEER, EXACT]


def logits(*rows: tuple[float, ...]) -> list[np.ndarray]:
    return [np.float32(rows)]


RIGHT = logits((1, 2), (4, 3), (0, 5), (7, 6))


@pytest.fixture
def outputs():
    near = [array + np.float32(0.125) for array in RIGHT]
    return {
        FP32.name: RIGHT,
        INT8.name: near,
        DIRECT.name: near,
        PEER_FP32.name: RIGHT,
        PEER.name: RIGHT,
        "exact": RIGHT,
    }


def document(rows: list[dict], seconds: dict[str, float], model: str = "resnet20_cifar10") -> dict:
    """Of a run that took so long with batch 1, and half as long for twice the samples on two threads."""
    about = {"name": model, "samples": "4 images", "effort": "balanced", "int8_bytes": 1_000_000, "missing": {}}
    about |= {"accuracy": rows, "peak_gain": {"batch1_threads2": {"avx2": 1.9}}}
    machine = {
        "cpu": "A processor",
        "cpus": 2,
        "tiers": ["avx2", "scalar"],
        "tier": "avx2",
        "instructions": "",
        "date": "2026-01-02 03:04",
    }
    machine |= {"commit": "abc", "compiler": "GCC", "python": "3", "versions": {"numpy": "2"}}
    times = []
    for threads in (1, 2):
        for each in ENTERING:
            taken = seconds[each.name] / threads
            row = {"model": model, "batch": 1, "threads": threads, "contestant": each.name, "samples": 9}
            row |= {"seconds": taken, "low": 0.9 * taken, "high": 1.1 * taken}
            row |= {name: getattr(each, name) for name in ("library", "kind", "file", "option", "tier")}
            if each.library == "qkern":
                packed = {"auto": 9_000_000, "direct": 1_000_000}.get(each.option, 4_000_000)
                row |= {"packed_bytes": packed, "overhead": 1e-5, "overhead_share": 0.05, "steps": 20}
                row["one_thread"] = 1.5 * taken if threads > 1 else None
            times.append(row)
    return {"machine": machine, "missing": {"nncf": "not installed"}, "models": [about], "rows": times}


SECONDS = {FP32.name: 4e-3, INT8.name: 1e-3, DIRECT.name: 2e-3, PEER_FP32.name: 3e-3, PEER.name: 1.2e-3, "exact": 5e-3}


def test_a_peer_is_wrong_where_its_modes_differ(outputs):
    def rows() -> dict[str, dict]:
        return {row["contestant"]: row for row in measure.accuracy_of(ENTERING, outputs, np.array([1, 0, 1, 1]))}

    found = rows()
    assert found[PEER.name]["wrong_share"] == 0
    assert found[INT8.name]["wrong_share"] is None
    assert found[INT8.name]["sqnr_db"] == pytest.approx(10 * np.log10(140 / (8 / 64)))
    assert found[FP32.name]["sqnr_db"] is None
    assert found[FP32.name]["top1"] == 0.75
    outputs[PEER.name] = logits((1, 2), (4, 3), (0, 5), (5, 6))
    found = rows()
    assert found[PEER.name]["wrong_share"] == 1 / 8
    assert found[PEER.name]["agreement"] == 0.75
    assert found["exact"]["wrong_share"] is None
    del outputs["exact"]
    assert rows()[PEER.name]["wrong_share"] is None


def test_ours_has_the_same_bytes_or_nothing_is_timed(outputs):
    measure.check_same_bytes(ENTERING, outputs)
    outputs[DIRECT.name] = [np.nextafter(array, np.float32(9)) for array in outputs[DIRECT.name]]
    with pytest.raises(WrongAnswerError, match="qkern int8, direct, avx2 differs from qkern int8, avx2"):
        measure.check_same_bytes(ENTERING, outputs)


def test_the_page_shows_speed_beside_accuracy(outputs):
    outputs[PEER.name] = logits((1, 2), (4, 3), (0, 5), (5, 6))
    rows = measure.accuracy_of(ENTERING, outputs, None)
    text = page.page(document(rows, SECONDS), chart_name="chart.svg")
    assert "| qkern int8, avx2 | 1 ms, 3.00x | 500 µs, 3.00x | 30.5 dB | 100.0 % | - |" in text
    assert "| onnxruntime int8 (wrong: 12.5 %) | 1.2 ms, 2.50x |" in text
    assert "| 3.00 (onnxruntime FP32) | 1.20 (onnxruntime int8) | 5.00 (exact) | 0.75 |" in text
    assert "1.50 of 1.90" in text
    assert "missing: nncf (not installed)" in text
    for block in [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]:
        assert len({line.count("|") for line in block}) == 1, block[0]


def test_published_runs_have_their_places(outputs, tmp_path, monkeypatch):
    readme, docs = tmp_path / "README.md", tmp_path / "whole_models.md"
    for copy, source in ((readme, publish.README), (docs, page.DOCS)):
        copy.write_text(source.read_text())
    monkeypatch.setattr(publish, "README", readme)
    monkeypatch.setattr(page, "DOCS", docs)
    published = document(measure.accuracy_of(ENTERING, outputs, None), SECONDS)
    paths = {kind: tmp_path / f"run.{kind}" for kind in ("svg", "md")}
    page.publish(published, paths)
    assert "](run.svg)](run.md)" in readme.read_text()
    assert "- resnet20_cifar10: 3.00 times as fast as the fastest FP32 and 1.20 times as the" in readme.read_text()
    assert "| qkern int8, avx2 | 1 ms, 3.00x |" in docs.read_text()
    before = readme.read_text()
    published["machine"]["instructions"] = "avx2"
    page.publish(published, {"svg": paths["svg"], "md": tmp_path / "limited.md"})
    assert readme.read_text() == before
    assert docs.read_text().count("| int8, x fastest int8 peer | resnet20_cifar10 | avx2 | 1.20 | ≥ 1.4 | missed") == 2


def test_targets_are_met_or_missed(outputs):
    rows = measure.accuracy_of(ENTERING, outputs, None)
    found = {check.what: check for check in targets.checks(document(rows, SECONDS))}
    assert {what: (pytest.approx(check.value), check.reached) for what, check in found.items()} == {
        "int8, x fastest FP32": (3.0, True),
        "int8, x fastest int8 peer": (1.2, False),
        "FP32, x onnxruntime FP32": (0.75, False),
        "packed weights beyond 4 MB, x int8": (5.0, False),
        "packed weights, direct, x int8": (1.0, True),
    }
    beside = document(rows, SECONDS)
    beside["machine"]["tier"] = "avx512_vnni"
    [check] = [check for check in targets.checks(beside) if check.what == "int8, x fastest int8 peer"]
    assert "best instructions" in check.reason
    assert found["int8, x fastest int8 peer"].reason == ""
    others = targets.checks(document(rows, SECONDS, "another"))
    assert {check.what for check in others} == set(found) - {"int8, x fastest FP32", "int8, x fastest int8 peer"}


def test_the_chart_shows_every_model(outputs, tmp_path):
    pytest.importorskip("matplotlib")
    outputs[PEER.name] = logits((1, 2), (4, 3), (0, 5), (5, 6))
    drawn = document(measure.accuracy_of(ENTERING, outputs, None), SECONDS)
    path = tmp_path / "chart.svg"
    chart.draw(drawn, [path])
    text = "".join(ET.parse(path).getroot().itertext())
    for each in ("resnet20_cifar10", "qkern int8, avx2", "onnxruntime FP32", "3.00", "30.5 dB", "dB wrong"):
        assert each in text
    assert "direct" not in text
    assert "exact" not in text


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """`python -m bench models` with these options; its exit code."""
    monkeypatch.setattr(sys, "argv", ["bench", "models", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("bench", run_name="__main__", alter_sys=True)
    return ended.value.code or 0


QUICK = ("--seconds", "0.001", "--images", "20", "--effort", "fast", "--isa", qkern.isa.active())


def test_a_run_in_pieces(monkeypatch, tmp_path, capsys):
    images = data.load()
    monkeypatch.setattr(data, "load", lambda: replace(images, calibration=images.calibration[::10]))
    threads, tier = qkern.get_num_threads(), qkern.isa.active()
    kept = ("--keep", str(tmp_path / "kept"), "--output", str(tmp_path), *QUICK)
    only = ("fashion_mnist", "--batch", "1", "--threads", "1")
    assert run(monkeypatch, *only, *kept, "--steps", "prepare,accuracy") == command.UNFINISHED
    assert "1 steps are left, from fashion_mnist/batch1_threads1.json on" in capsys.readouterr().err
    before = (tmp_path / "kept" / "fashion_mnist" / "accuracy.json").stat().st_mtime_ns
    assert run(monkeypatch, *only, *kept) == 0
    assert (tmp_path / "kept" / "fashion_mnist" / "accuracy.json").stat().st_mtime_ns == before
    assert "## fashion_mnist" in capsys.readouterr().out
    assert (qkern.get_num_threads(), qkern.isa.active()) == (threads, tier)
    [path] = tmp_path.glob("*.json")
    [each] = settings(json.loads(path.read_text()))
    assert each.tiers == [tier]
    assert each.our_int8(tier).accuracy["agreement"] > 0.9
    assert 0 < each.our_direct(tier).packed <= each.our_int8(tier).packed
    assert all(entry.time["low"] <= entry.seconds <= entry.time["high"] for entry in each.entries)
    with pytest.raises(SystemExit, match=r"parts of another run \(settings"):
        command.main([*only, *kept, "--images", "10"])
    assert run(monkeypatch, "--render", str(path), "--output", str(tmp_path / "again")) == 0
    [again] = (tmp_path / "again").glob("*.md")
    assert again.read_text() == path.with_suffix(".md").read_text()


@pytest.fixture
def add(tmp_path):
    """The file of a network of a batch of two without weights."""
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[2, 3] x, float[2, 3] z) => (float[2, 3] y) { y = Add(x, z) }'
    )
    path = tmp_path / "two inputs.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_any_model_on_random_numbers(add, tmp_path, capsys):
    assert command.main(["--model", str(add), "--output", str(tmp_path), "--threads", "1", *QUICK]) == 0
    assert "Compared on random numbers; qkern's effort is `fast`." in capsys.readouterr().out
    [found] = tmp_path.glob("*.json")
    assert {row["batch"] for row in json.loads(found.read_text())["rows"]} == {2}


def test_what_cannot_be_measured_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_images, "SHARED", tmp_path)
    assert command.main(["resnet20_cifar10"]) == 0
    assert "missing: resnet20_cifar10 (models/resnet20_cifar10.onnx, data/" in capsys.readouterr().err
    text = '<ir_version: 8, opset_import: ["": 17]> g (int64[N] x) => (int64[N] y) { y = Abs(x) }'
    path = tmp_path / "integers.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    with pytest.raises(ValueError, match=r"input 'x' takes int64 \[\?\]: random numbers are float32"):
        networks.from_file(path)


@pytest.mark.parametrize(
    "options", [["resnet"], ["--batch", "0"], ["--isa", "avx9"], ["--limit", "5"], ["--instructions", "sse"]]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(SystemExit):
        command.parse(options)


def test_only_what_is_there_takes_part(monkeypatch):
    monkeypatch.setattr("bench.models.contestants.find_spec", lambda name: None)
    assert {each.library for each in contestants(["scalar"], files.FILES)} == {"qkern"}


def test_nodes_that_stay_float_between_codes(tmp_path):
    pytest.importorskip("onnxruntime")
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2, 4] x) => (float[2, 4] y)
        <float s = {0.5}, uint8 z = {128}> {
        a = QuantizeLinear(x, s, z)
        b = DequantizeLinear(a, s, z)
        c = Erf(b)
        d = QuantizeLinear(c, s, z)
        e = DequantizeLinear(d, s, z)
        f = Add(b, e)
        h = QuantizeLinear(f, s, z)
        y = DequantizeLinear(h, s, z)
    }"""
    model = onnx.parser.parse_model(text)
    for node in model.graph.node:
        node.name = f"{node.op_type} {node.output[0]}"
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert files.unfused(path) == ["Erf c"]


@pytest.fixture(scope="module", params=networks.KNOWN)
def network(request, tmp_path_factory):
    """One that is there, and its int8 file."""
    found = networks.known(request.param, 2)
    if isinstance(found, str):
        pytest.skip(found)
    path = tmp_path_factory.mktemp("packed") / f"{found.name}.onnx"
    qkern.quantize_model(found.path, networks.first(found.calibration, 4), "x86", effort="fast").save(path)
    return found, path


def test_packed_weights_stay_in_their_bounds(isa, network):
    """A network's weights as kernels read them: 4 times its int8 ones and 4 MB, or hardly more than once."""
    found, path = network
    size = files.int8_bytes(path)
    for algorithm, most in (("auto", targets.PACKED * size + targets.BEYOND), ("direct", targets.DIRECT * size)):
        session = qkern.Session(path, algorithm=algorithm)
        for batch in smaller((1, 2), (1,)):
            session.run(None, networks.first(found.held_out, batch))
        assert size <= session.packed_bytes <= most
