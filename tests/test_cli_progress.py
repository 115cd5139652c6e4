"""How far the command line is: a bar on a terminal, a line now and then elsewhere."""

import os

from qkern.cli.progress import progress
from rich.console import Console


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress("calibrating", Console(stderr=True, highlight=False)) as show:
        for now, done, total in [(1.0, 1, 10), (6.0, 2, 10), (7.0, 3, 10), (12.0, 4, None)]:  # noqa: B007
            show(done, total)
        now = 13.0
        show.stage("bias correction")
        now = 20.0
        show.stage("weight clipping")
        now = 26.0
        show(1, 3)
    assert capsys.readouterr().err.splitlines() == [
        *("calibrating: 2 of 10, 24 s left", "calibrating: 4", "weight clipping", "weight clipping: 1 of 3, 12 s left")
    ]


def test_progress_is_a_bar_on_a_terminal():
    console = Console(force_terminal=True, width=100, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    with progress("calibrating", console) as show:
        show(0, None)
        show(3, 10)
    text = console.export_text()
    assert "calibrating" in text
    assert "3/10" in text


def test_a_stage_has_a_bar_of_its_own():
    console = Console(force_terminal=True, width=100, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    with progress("calibrating", console) as show:
        show(3, 10)
        show.stage("bias correction")
    assert "bias correction" in console.export_text()
