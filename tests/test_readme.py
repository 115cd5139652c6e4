"""The README's examples run as they stand there, and CI finds the commands it runs from there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from emulation import EMULATED

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(marker: str, language: str) -> str:
    """The fenced block after the comment `<!-- marker -->`."""
    found = re.search(rf"^<!-- {re.escape(marker)} -->\s*```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found, f"no {language} block after <!-- {marker} -->"
    return found[1]


@pytest.mark.parametrize("example", ["numpy", "onnx"])
def test_example(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)  # what an example writes stays out of the checkout
    source = block(f"example: {example}", "python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 12
    if EMULATED and example == "onnx":
        pytest.skip("2500 images; test_golden.py quantizes and runs the same network")
    exec(compile(source, f"README.md, example {example}", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "test"])
def test_command_installs_and_runs(command: str):
    lines = block(f"ci: {command}", "bash").strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("pip install ")
    assert " && " in lines[0]
