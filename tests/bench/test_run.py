"""A whole run of one small shape, with nothing but qkern and NumPy, and what is made of it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import qkern

from bench import compare, contest, exactness, instructions, machine, peaks, run
from bench.contest import Effort, hold
from bench.contestants import qkern_kernels
from bench.models import command as models
from bench.report import chart, markdown, publish, summary, targets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a run without a compiler, as on a user's machine: copying isn't measured."""
    path = tmp_path_factory.mktemp("run")
    threads = qkern.get_num_threads()
    shapes = "^(3x5x7|dw 3x3 960 @7|.*tensor 4 Ki)$"
    options = ["--ops", "gemm,conv,elementwise", "--shapes", shapes, "--libraries", "qkern_kernels,numpy_blas"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(peaks, "library", lambda: None)
        patch.setattr("sys.argv", ["bench", *options, "--quick", "--output", str(path)])
        assert run.main() == 0
    qkern.set_num_threads(threads)
    assert "missing: copying (no C++ compiler" in err.getvalue()
    assert "| 3x5x7 |" in out.getvalue()
    return path


@pytest.fixture
def document(folder):
    [path] = folder.glob("*.json")
    return json.loads(path.read_text())


def test_a_run_writes_what_it_measured(document, folder):
    rows = summary.rows_of(document)
    tiers = set(qkern.isa.available())
    assert {row.tier for row in rows if row.library == "qkern"} == tiers
    assert {row.op for row in rows} == {"gemm", "conv", "elementwise"}
    assert all(row.low <= row.seconds <= row.high for row in rows)
    assert all(row.exact for row in rows if row.library == "qkern")
    assert all((row.percent is None) == (row.library != "qkern" or row.op == "elementwise") for row in rows)
    for key in ("cpu", "compiler", "commit", "versions", "tiers", "date"):
        assert key in document["machine"]
    [page] = folder.glob("*.md")
    assert page.read_text() == markdown.page(document, chart_name=page.with_suffix(".svg").name)


def test_tables_have_as_many_cells_as_columns(document):
    blocks = [block.splitlines() for block in markdown.page(document).split("\n\n") if block.startswith("|")]
    assert len(blocks) > 4
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1, block[0]


def test_the_chart_shows_every_shape(document, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "again.svg"
    chart.draw(document, [path])
    text = "".join(ET.parse(path).getroot().itertext())
    for each in ("3x5x7", "dw 3x3 960 @7", "quantize per tensor, 4 Ki", "qkern", "numpy"):
        assert each in text


def test_scaling_is_over_one_thread_in_the_same_rounds(document):
    one = summary.rows_of(document)
    two = [replace(row, threads=2, seconds=row.seconds / 2) for row in one]
    two += [replace(row, threads=2, variant="u8s8 packed, one thread") for row in one if row.variant == "u8s8 packed"]
    both = {**document, "threads": [1, 2], "rows": [row.as_dict() for row in (*one, *two)]}
    text = markdown.page(both)
    [found] = [each for each in summary.summaries(both, 2, "gemm") if each.shape == "3x5x7"]
    assert markdown.scaling(found) == ["2.00"]
    assert "x 1 thread" in text


def test_missed_targets_are_listed_with_a_reason(document):
    rows = [row for row in summary.rows_of(document) if row.op == "gemm"]
    [ours] = [row for row in rows if row.variant == "u8s8 packed" and row.tier == qkern.isa.available()[0]]
    ours = replace(ours, tier="avx2", shape="1024x1024x1024", bound="", percent=90.0)
    peer = replace(ours, library="onnxruntime", variant="MatMulInteger u8s8", tier="", wrong_share=0.5)
    slow, fast = (replace(peer, seconds=factor * ours.seconds) for factor in (0.5, 2.0))
    for other, lines in ((slow, 2), (fast, 0)):
        rows = [row.as_dict() for row in (ours, other)]
        run_of = {**document, "machine": {**document["machine"], "tiers": ["avx2"]}, "rows": rows}
        found = [check for check in targets.checks(run_of) if not check.reached]
        assert [check.what for check in found] == lines * ["int32 GEMM, x fastest peer"]
        assert [(check.value, "saturates" in check.reason) for check in found] == lines * [
            (pytest.approx(0.5, rel=1e-3), True)
        ]
        text = markdown.page(run_of)
        assert text.count("| int32 GEMM, x fastest peer |") == lines
        assert ("* a: the peer is wrong" in text) == bool(lines)
    exact = replace(slow, wrong_share=0.0)
    for percent, bound, words in (
        (40.0, "vpdpbusd", ""),
        (90.0, "vpdpbusd", "faster than `vpdpbusd` can be"),
        (95.0, "read", "95 %"),
    ):
        rows = [replace(ours, percent=percent, bound=bound).as_dict(), exact.as_dict()]
        single = next(c for c in targets.checks({**run_of, "rows": rows}) if not c.reached)
        assert words in single.reason
        assert bool(words) == bool(single.reason)


def test_reasons_name_records_that_exist():
    for reason in targets.REASONS.values():
        [number] = re.findall(r"\((\d{4})\)$", reason)
        assert len(list((machine.ROOT / "docs" / "decisions").glob(f"{number}-*.md"))) == 1


def test_with_several_threads_ours_is_measured_on_one_too():
    before, tier = qkern.get_num_threads(), qkern.isa.active()
    [case] = run.cases(["gemm"], "^3x5x7$", [qkern_kernels], 2, [tier])
    names = {each.variant: each.threads for each in case.contestants}
    assert names.pop("u8s8 packed, one thread") == 1
    assert set(names.values()) == {2}
    rows, _ = hold(case, 2, [tier], Effort(samples=1, seconds=0.001))
    assert "u8s8 packed, one thread" in {row.variant for row in rows}
    assert qkern.get_num_threads() == before


def test_compare_sees_what_changed_and_what_is_noise(document):
    [base] = [row for row in summary.rows_of(document) if row.variant == "u8s8 packed" and row.tier == "scalar"]
    base = replace(base, seconds=1.0, low=0.99, high=1.01)
    for seconds, spread, verdict in ((0.5, 0.01, "faster"), (2.0, 0.01, "slower"), (0.9, 0.2, ""), (0.99, 0.0, "")):
        head = replace(base, seconds=seconds, low=seconds - spread, high=seconds + spread)
        [found] = compare.differences([base], [head])
        assert found.verdict(0.03) == verdict
        assert found.speedup == pytest.approx(1 / seconds)
    assert compare.differences([base], [replace(base, threads=2)]) == []


def test_compare_prints_both_runs(document, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    assert compare.main([str(path), str(path), "--fail"]) == 0
    said = capsys.readouterr().out
    assert "qkern: 1.000x" in said
    assert "the machine (all other libraries): 1.000x" in said
    with pytest.raises(SystemExit):
        compare.main([str(path), str(path), "--nonsense"])


def test_blocks_of_pages_are_replaced_whole(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench: begin -->\nold\n\\1\n<!-- bench: end -->\nafter\n")
    publish.replace_block(page, "bench", "new \\1")
    publish.replace_block(page, "bench", "new \\2")
    assert page.read_text() == "before\n<!-- bench: begin -->\nnew \\2\n<!-- bench: end -->\nafter\n"
    with pytest.raises(ValueError, match=r"page\.md has no block"):
        publish.replace_block(page, "nothing", "")


def test_the_pages_have_their_blocks():
    shown = ("bench", "exactness")
    for page, names in ((publish.README, shown), (publish.DOCS, shown), (publish.LIMITED, [f"bench, {run.PUBLISHED}"])):
        for name in names:
            assert page.read_text().count(f"<!-- {name}: begin -->") == 1
            assert page.read_text().count(f"<!-- {name}: end -->") == 1


def test_limited_runs_are_shown_in_their_own_place(document, tmp_path, monkeypatch):
    readme, docs, page = (tmp_path / name for name in ("README.md", "benchmarking.md", "kernels_on_avx2.md"))
    for name, copy in (("README", readme), ("DOCS", docs), ("LIMITED", page)):
        copy.write_text(getattr(publish, name).read_text())
        monkeypatch.setattr(publish, name, copy)
    before = readme.read_text(), docs.read_text()
    limited = {**document, "machine": {**document["machine"], "tier": "avx2", "instructions": "avx2"}}
    publish.publish(limited, {"svg": tmp_path / "run.svg", "md": tmp_path / "run.md"})
    assert (readme.read_text(), docs.read_text()) == before
    assert "[all rows](run.md)" in page.read_text()
    assert "- all libraries limited to the instructions of avx2" in page.read_text()


@pytest.mark.parametrize(
    ("options", "limit", "words"),
    [
        (["--instructions=avx2"], "", "two words"),
        (["--instructions", "avx_vnni", "--publish"], "avx_vnni", "of limited runs"),
    ],
)
def test_runs_that_would_not_be_limited_or_shown_are_refused(options, limit, words, monkeypatch, capsys):
    monkeypatch.setattr(instructions, "limit", lambda: limit)
    for parse in (run.parse, models.parse):
        with pytest.raises(SystemExit):
            parse(options)
        assert words in capsys.readouterr().err


def test_the_name_of_a_run():
    about = {
        "cpu": "Intel(R) Xeon(R) CPU @ 2.80GHz (family 6, model 85)",
        "tier": "avx512_vnni",
        "date": "2026-01-02 3",
    }
    assert machine.slug(about) == "intel-xeon-family-6-model-85_avx512_vnni_2026-01-02"
    about["instructions"] = "avx512_vnni"
    assert machine.slug(about) == "intel-xeon-family-6-model-85_avx512_vnni-limited_2026-01-02"


@pytest.mark.parametrize(
    "options", [["--ops", "gem"], ["--tiers", "avx9"], ["--shapes", "("], ["--threads", "0"], ["--threads", "9999"]]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(SystemExit):
        run.parse(options)


def test_cpu_time_is_for_one_thread(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert run.parse(["--clock", "cpu"]).clock == "cpu"
    with pytest.raises(SystemExit):
        run.parse(["--clock", "cpu", "--threads", "1,2"])


def test_exactness_of_models_is_told_per_environment():
    def found(sha: str, wrong: float):
        kernel = {"op": "gemm", "task": "s32", "library": "qkern", "variant": "u8s8 packed"}
        model = {"model": "m", "library": "qkern", "sqnr_db": 20.0, "agreement": 0.5, "sha256": sha}
        return {"kernels": [{**kernel, "wrong_share": wrong, "largest_error": 3.0}], "models": [model]}

    same = {"here": found("a", 0.0), "there": found("a", 0.0)}
    assert exactness.same_bits(same)
    assert exactness.ours_is_exact(same)
    assert not exactness.same_bits({**same, "there": found("b", 0.0)})
    assert not exactness.ours_is_exact({**same, "there": found("a", 0.5)})
    about = {"cpu": "c", "tier": "t", "date": "d", "commit": "", "versions": {}}
    text = exactness.page({"machine": about, "missing": {}, "environments": same, "same_bits": True})
    assert "| qkern u8s8 packed | exact | exact |" in text
    assert "| m, qkern | 20.0 dB, 50 % | 20.0 dB, 50 % |" in text


def test_sqnr():
    reference = np.float32([[3.0, 4.0]])
    assert exactness.sqnr(reference, reference + np.float32([[0.5, 0.0]])) == pytest.approx(20.0)


def test_peaks_count_their_operations():
    for peak in peaks.of_tiers(qkern.isa.available()):
        call, amount = peaks.run(peak, 2, rounds=10)
        assert call() == amount
        assert amount == 2 * peaks.run(peak, 1, rounds=10)[1]
    call, amount = peaks.read(1 << 12, 1)
    call()
    assert amount % (1 << 12) == 0


def test_what_is_compiled_here_counts_its_work():
    if peaks.library() is None:
        pytest.skip("no C++ compiler")
    for plainly in (True, False):
        call, amount = peaks.copy(1000, 1, plainly)
        call()
        assert amount % 2000 == 0
    saturating = peaks.saturating(2, rounds=10)
    if saturating is not None:
        assert saturating[1] == 10 * 12 * 64 * 2
        saturating[0]()


def test_tiers_with_the_same_instructions_share_a_peak():
    found = peaks.of_tiers(["avx_vnni", "avx2"] if "avx_vnni" in qkern.isa.available() else qkern.isa.available())
    assert len({(peak.instructions, peak.dtype) for peak in found}) == len(found)
    for tier in {tier for peak in found for tier in peak.tiers}:
        dtypes = {peak.dtype for peak in found if tier in peak.tiers}
        assert dtypes == {"float32", "int8"} | ({"int8_safe"} if tier == "avx2" else set())


@pytest.mark.skipif("avx2" not in qkern.isa.available(), reason="the processor lacks avx2")
@pytest.mark.parametrize(("op", "shape"), [("gemm", "64x64x64"), ("conv", "1x1 1024->256 @14")])
def test_safe_weights_take_part_where_they_have_instructions_of_their_own(op, shape):
    [case] = run.cases([op], f"^{shape}$", [qkern_kernels], 1, ["avx2", "scalar"])
    rows, _ = contest.hold(case, 1, ["avx2", "scalar"], contest.Effort(samples=2, least_sample=1e-5, seconds=0.01))
    bounds = {row.variant: row.bound for row in rows if row.tier == "avx2" and row.bound != "read"}
    for variant in ("u8s8 packed", "fused") if op == "gemm" else ("fused",):
        assert "vpmaddubsw" in bounds[f"{variant}, safe weights"]
        assert "vpmaddubsw" not in bounds[variant]
    assert not any("safe" in row.variant for row in rows if row.tier == "scalar")


def test_safe_weights_and_winograd_have_targets(document):
    [row] = [r for r in summary.rows_of(document) if r.op == "conv" and r.variant == "fused" and r.tier == "scalar"]
    ours = replace(row, tier="avx2", group="conv", shape="3x3 64 @56", bound="", over_peer=None)
    rows = [replace(ours, variant=name, seconds=time) for name, time in (("fused", 1.0), ("fused, direct", 2.0))]
    rows.append(replace(ours, library="onnxruntime", variant="float", task="fp32", tier="", seconds=3.0))
    one = replace(ours, shape="1x1 96 @14", variant="fused", seconds=1.0)
    rows += [one, replace(one, variant="fused, safe weights", seconds=0.5)]
    run_of = {**document, "machine": {**document["machine"], "tiers": ["avx2"]}, "rows": [r.as_dict() for r in rows]}
    found = {check.what: (check.value, check.reached) for check in targets.checks(run_of)}
    assert found == {
        "3x3, x direct": (2.0, False),
        "3x3, x fastest FP32": (3.0, False),
        "fused, safe weights, x any weights": (2.0, True),
    }
    assert "By saturation-safe weights, fused:\n\n| shape |" in markdown.page(run_of)


def test_json_is_the_same_document(document):
    assert json.loads(run.as_json(document)) == document
    assert json.loads(run.as_json({**document, "rows": []}))["rows"] == []
