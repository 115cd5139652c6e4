"""Has the README and docs/benchmarking.md show a run: what stands between two comments there is replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..machine import ROOT, limited
from .markdown import page

__all__ = ["publish", "replace_block"]

README, DOCS = ROOT / "README.md", ROOT / "docs" / "benchmarking.md"
LIMITED = ROOT / "docs" / "kernels_on_avx2.md"


def publish(document: Mapping[str, Any], paths: Mapping[str, Path]) -> None:
    """The chart in the README; links, tables for one number of threads and missed targets in docs/benchmarking.md.
    Of a run on limited instructions, these in a page of its own."""
    machine = document["machine"]
    chart, tables = (relative(paths[kind], README) for kind in ("svg", "md"))
    where = f"{machine['cpu']}, tier `{machine['tier']}`, {machine['date'].split()[0]}, commit {machine['commit']}"
    whole = page(document, threads=document["threads"][:1])
    short = whole.partition("## All rows")[0].partition("\n")[2].strip().replace("\n## ", "\n### ")
    link = relative(paths["md"], DOCS)
    block = f"{where}; [all rows]({link}).\n\n{short}"
    if limited(machine):
        replace_block(LIMITED, f"bench, {machine['tier']}", block)
        return
    replace_block(DOCS, "bench", block)
    replace_block(
        README,
        "bench",
        f"[![Speed of int8 relative to the fastest FP32]({chart})]({tables})\n\n{where}; [every figure]({tables}).",
    )


def replace_block(path: Path, name: str, text: str) -> None:
    """Between `<!-- NAME: begin -->` and `<!-- NAME: end -->`. Raises ValueError where the page has no such block."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = path.read_text()
    pattern = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{path.name} has no block {begin} ... {end}")
    after = pattern.sub(lambda _: f"{begin}\n{text}\n{end}", before, count=1)
    path.write_text(after)


def relative(target: Path, page_path: Path) -> str:
    return Path(os.path.relpath(target, page_path.parent)).as_posix()
