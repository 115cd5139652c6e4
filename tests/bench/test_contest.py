"""Checking, roofline and ratios, on made-up contestants and times."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import qkern

from bench import contest
from bench.contest import Case, Contestant, Effort, Row, WrongAnswerError, add_ratios, check, hold
from bench.contestants import gather

ANSWER = np.arange(6, dtype=np.int32).reshape(2, 3)


def contestant(library: str, output: np.ndarray, task: str = "s32", tier: str = "") -> Contestant:
    return Contestant(library, "", task, "x", lambda: None, lambda: output, tier)


def row(library: str, seconds: float, task: str = "s32", **more) -> Row:
    blank = Row("gemm", "gemm", "1x1x1", task, library, "", "", library, 1, 2, seconds, seconds, seconds, 5, 1, 1.0)
    return replace(blank, **more)


def test_ours_has_to_be_exact():
    wrong = ANSWER.copy()
    wrong[0, 0] += 1
    with pytest.raises(WrongAnswerError, match=r"qkern: 16\.7 % of the entries"):
        check(contestant("qkern", wrong), {"x": ANSWER})
    assert check(contestant("qkern", ANSWER), {"x": ANSWER})[0].exact


def test_a_peer_may_be_wrong_and_it_is_said_how_much():
    wrong = ANSWER.copy()
    wrong[0] -= 40
    found, _ = check(contestant("peer", wrong), {"x": ANSWER})
    assert (found.wrong_share, found.largest_error) == (0.5, 40)


def test_float_results_have_to_be_close():
    answer = np.array([1.0, 1000.0])
    assert check(contestant("peer", np.float32([1.01, 1000.0]), "fp32"), {"x": answer})[0] is None
    for output in (np.float32([2.0, 1000.0]), np.float32([np.nan, 1000.0]), np.float32([1.0])):
        with pytest.raises(WrongAnswerError):
            check(contestant("peer", output, "fp32"), {"x": answer})


def test_a_peer_that_fails_is_left_out_and_named(capsys):
    def failing(data, threads, tiers):
        yield contestant("peer", ANSWER)
        raise RuntimeError("no such instruction")

    data = SimpleNamespace(shape="3x5x7")
    peer = SimpleNamespace(__name__="bench.contestants.peer", gemm=failing)
    assert len(gather([peer], "gemm", data, 1, [])) == 1  # what came before
    assert "left out: peer, gemm 3x5x7: no such instruction" in capsys.readouterr().err
    ours = SimpleNamespace(__name__="bench.contestants.qkern_kernels", gemm=failing)
    with pytest.raises(RuntimeError):
        gather([ours], "gemm", data, 1, [])


def test_a_float_peer_that_is_wrong_is_left_out(capsys):
    answers = {"x": np.array([1.0, 2.0])}
    right, wrong = (contestant(name, np.float32([1.0, value]), "fp32") for name, value in (("a", 2.0), ("b", 3.0)))
    case = Case("gemm", "gemm", "s", 2, 2, answers=answers, contestants=[right, wrong])
    rows, _ = hold(case, 1, ["scalar"], Effort(samples=2, least_sample=1e-5, seconds=0.01))
    assert [each.library for each in rows] == ["a"]
    assert "left out: gemm s: b: off by" in capsys.readouterr().err
    case.contestants = [contestant("qkern", ANSWER + 1)]
    case.answers = {"x": ANSWER}
    with pytest.raises(WrongAnswerError):
        hold(case, 1, ["scalar"], Effort(samples=2))


def test_a_tier_is_active_during_its_calls_only():
    before, seen = qkern.isa.active(), []
    each = Contestant("qkern", "", "s32", "x", lambda: seen.append(qkern.isa.active()), lambda: ANSWER, "scalar")
    case = Case("gemm", "gemm", "s", 2, 2, answers={"x": ANSWER}, contestants=[each])
    hold(case, 1, ["scalar"], Effort(samples=2, least_sample=1e-5, seconds=0.01))
    assert set(seen) == {"scalar"}
    assert qkern.isa.active() == before


def test_ratios_are_to_the_fastest_float_and_to_the_fastest_other_library_at_the_task():
    rows = [
        row("qkern", 1.0),
        row("a", 3.0),
        row("b", 2.0),
        row("numpy int32", 0.1),
        row("a", 1.5, "u8"),
        row("numpy", 4.0, "fp32"),
        row("qkern", 5.0, "fp32"),
    ]
    add_ratios(rows)
    assert (rows[0].over_fp32, rows[0].over_peer, rows[0].fastest_peer) == (4.0, 2.0, "b")
    assert rows[4].over_peer is None
    assert rows[5].over_fp32 == 1.0


@pytest.mark.parametrize(
    ("task", "wrong", "error", "sound"),
    [
        ("s32", 0.0, 0, True),
        ("s32", 0.001, 1, False),
        ("u8", 0.001, 1, True),
        ("u8", 0.001, 2, False),
        ("u8", 0.5, 1, False),
    ],
)
def test_results_that_are_rounded_in_another_way_count_as_right(task, wrong, error, sound):
    assert row("a", 1.0, task, wrong_share=wrong, largest_error=error).sound is sound


LIMITS = [
    contest._Limit("read", "read", (), 1, print),
    contest._Limit("int8", "pair route", ("avx2",), 1, print),
    contest._Limit("int8", "wide route", ("avx512_vnni",), 1, print),
    contest._Limit("float32", "vfmadd231ps ymm", ("avx_vnni", "avx2"), 1, print),
]
REACHED = {"read": 10.0, "pair route": 100.0, "wide route": 400.0, "vfmadd231ps ymm": 25.0}


@pytest.mark.parametrize(
    ("operations", "size", "tier", "task", "bound", "percent"),
    [
        (200e9, 1e9, "avx2", "s32", "pair route", 50.0),  # 2 s of arithmetic, 0.1 s of reading, in 4 s
        (200e9, 30e9, "avx2", "s32", "read", 75.0),
        (200e9, 1e9, "avx512_vnni", "s32", "wide route", 12.5),
        (50e9, 1e9, "avx2", "fp32", "vfmadd231ps ymm", 50.0),
        (200e9, 1e9, "scalar", "s32", "", None),
    ],
)
def test_roofline_is_the_longer_of_arithmetic_and_memory(operations, size, tier, task, bound, percent):
    case = Case("gemm", "gemm", "s", operations, size)
    timing = contest.Timing(4.0, 4.0, 4.0, 5, 1)
    found = contest._percent(case, contestant("qkern", ANSWER, task, tier), timing, LIMITS, REACHED)
    assert found == (bound, None if percent is None else pytest.approx(percent))
    assert contest._percent(case, contestant("peer", ANSWER), timing, LIMITS, REACHED) == ("", None)


def test_streaming_operators_are_bound_by_the_faster_copy():
    limits = [contest._Limit("copy", name, (), 1, print) for name in ("copy, memcpy", "copy, vector moves")]
    case = Case("elementwise", "quantize per tensor", "4 Ki", 1, 1, bytes_copied=20e9)
    reached = {"copy, memcpy": 5.0, "copy, vector moves": 10.0}
    timing = contest.Timing(4.0, 4.0, 4.0, 5, 1)
    assert contest._percent(case, contestant("qkern", ANSWER, tier="avx2"), timing, limits, reached) == ("copy", 50.0)
