"""Shows a run (head) against another (base): what became faster or slower.

    python -m bench.compare base.json head.json
    python -m bench.compare --refs main HEAD [--ops gemm] [--shapes REGEX]     builds and measures both, in turn

Rows are matched by operator, shape, threads and contestant; those of qkern are shown. A difference counts where it is
larger than `--least` and the quartiles don't overlap. Two runs are comparable as far as the machine was the same in
both: how much the other libraries changed, printed as "the machine", says how far.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .contest import OURS, Row
from .machine import ROOT
from .report.markdown import duration, table
from .report.summary import geometric_mean, rows_of

__all__ = ["Difference", "differences", "main"]

Key = tuple[str, str, str, int, str]


class Difference:
    """One contestant's row in both runs; `speedup` is base over head."""

    def __init__(self, base: Row, head: Row) -> None:
        self.base, self.head = base, head
        self.speedup = base.seconds / head.seconds

    def verdict(self, least: float) -> str:
        """faster, slower, or "" where the difference is small or within the spread of the samples."""
        if self.speedup > 1 + least and self.head.high < self.base.low:
            return "faster"
        if self.speedup < 1 / (1 + least) and self.base.high < self.head.low:
            return "slower"
        return ""


def differences(base: Sequence[Row], head: Sequence[Row]) -> list[Difference]:
    """Of the rows that both runs have."""
    before = {key(row): row for row in base}
    return [Difference(before[key(row)], row) for row in head if key(row) in before]


def key(row: Row) -> Key:
    return (row.op, row.group, row.shape, row.threads, row.contestant)


def page(base: Mapping[str, Any], head: Mapping[str, Any], least: float) -> str:
    """The tables of both runs."""
    found = differences(rows_of(base), rows_of(head))
    ours = [each for each in found if each.head.library == OURS]
    others = [each.speedup for each in found if each.head.library != OURS]
    rows = [
        [
            each.head.group if each.head.op == "elementwise" else each.head.op,
            each.head.shape,
            str(each.head.threads),
            each.head.contestant,
            duration(each.base.seconds),
            duration(each.head.seconds),
            f"{each.speedup:.2f}",
            each.verdict(least),
        ]
        for each in ours
    ]
    lines = [
        f"base: {base['machine']['commit']}, {base['machine']['date']}, {base['machine']['cpu']}",
        f"head: {head['machine']['commit']}, {head['machine']['date']}, {head['machine']['cpu']}",
    ]
    if ours:
        lines.append(f"qkern: {geometric_mean([each.speedup for each in ours]):.3f}x (geometric mean of {len(ours)})")
    if others:
        lines.append(f"the machine (all other libraries): {geometric_mean(others):.3f}x")
    columns = ["operator", "shape", "threads", "contestant", "base", "head", "speed-up", ""]
    return "\n".join([*lines, "", table(columns, rows)])


def measure(ref: str, folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """Builds `ref` in a worktree and an environment of its own, over the packages of this one, and runs this suite."""
    tree, environment = folder / "tree", folder / "venv"
    subprocess.run(["git", "worktree", "add", "--detach", "-f", str(tree), ref], cwd=ROOT, check=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(environment)], check=True)
        python = environment / "bin" / "python"
        packages = [path for path in sys.path if path.endswith("-packages")]
        site = next(environment.glob("lib/python*/site-packages"))
        (site / "base.pth").write_text("".join(f"{path}\n" for path in packages))
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(tree)], check=True
        )
        output = folder / "results"
        command = [str(python), "-m", "bench", "--output", str(output), *options]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    [path] = output.glob("*.json")
    document = load(path)
    document["machine"]["commit"] = ref
    return document


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison; exit code 1 where something became slower and --fail is given."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("--refs", action="store_true", help="base and head are commits, not files")
    parser.add_argument("--least", type=float, default=0.03, help="smallest difference that counts (0.03: 3 %%)")
    parser.add_argument("--fail", action="store_true", help="exit code 1 where something became slower")
    parsed, options = parser.parse_known_args(arguments)
    if parsed.refs:
        with tempfile.TemporaryDirectory() as folder:
            base, head = (
                measure(ref, Path(folder) / side, options)
                for side, ref in (("base", parsed.base), ("head", parsed.head))
            )
    else:
        if options:
            parser.error(f"unrecognized arguments: {' '.join(options)}")
        base, head = load(Path(parsed.base)), load(Path(parsed.head))
    print(page(base, head, parsed.least))
    slower = [each for each in differences(rows_of(base), rows_of(head)) if each.verdict(parsed.least) == "slower"]
    return int(parsed.fail and any(each.head.library == OURS for each in slower))


if __name__ == "__main__":
    sys.exit(main())
