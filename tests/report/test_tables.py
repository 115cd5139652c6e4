"""What a terminal shows."""

import dataclasses
import io

import pytest
from qkern.report import Comparison
from qkern.report.tables import comparison_table, pairs, percent, size, table, time_of
from rich.console import Console

RESULT = Comparison(400, 0.89, 0.8875, 0.975, 19.21, 0.994, 0.0215, 0.0072, 18_803_561, 4_900_000, "avx2", 2, ("top",))


def shown(renderable):
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def test_the_comparison_has_every_figure():
    text = shown(comparison_table(RESULT, [("images/s", "46", "139", "3.02x")]))
    for figure in (
        "89.00 %",
        "88.75 %",
        "-0.25 points",
        "97.50 %",
        "19.2 dB",
        "18.8 MB",
        "4.9 MB",
        "21.5 ms",
        "7.2 ms",
    ):
        assert figure in text
    assert "2.99x" in text
    assert "3.84x" not in text
    assert "images/s" in text


def test_without_labels_there_is_no_top_1():
    text = shown(comparison_table(dataclasses.replace(RESULT, top1_float=None, top1_int8=None)))
    assert "points" not in text
    assert "same top-1" in text
    assert "top-1" not in shown(comparison_table(dataclasses.replace(RESULT, top1_float=None, agreement=None)))


def test_names_are_never_cut_or_read_as_markup():
    name = "/features/" + "very_long_" * 20
    for each in (table("[b]itle", ("layer", "why"), [(name, "[b]why")]), pairs("[b]itle", [("[b]why", name)])):
        text = shown(each)
        assert name in "".join(text.split()).replace("[b]why", "")
        assert text.count("[b]") == 2


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_900, "1000 kB"), (18_803_561, "18.8 MB")]
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(12.3, "12.3 s"), (0.00715, "7.15 ms"), (2.5e-5, "25 µs"), (0, "0 µs")])
def test_times(seconds, text):
    assert time_of(seconds) == text


def test_shares():
    assert percent(0.92345) == "92.34 %"
