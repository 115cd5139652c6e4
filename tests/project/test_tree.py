"""The tree as a whole: names, sizes, links, and the version."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
import qkern

ROOT = Path(__file__).parents[2]
FOLDERS = ["csrc", "python", "tests", "bench", "docs"]
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and "results" not in path.parts
)
TEXT = {".py", ".pyi", ".h", ".cc", ".md", ".txt"}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_drawer_for_leftovers():
    leftover = re.compile(r"(?:^|_)(?:utils?|common|helpers?|misc)(?:_|$)")
    named = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts if leftover.search(part)}
    assert named == set()


def test_no_two_files_of_tests_have_one_name():
    # pytest imports them by their names alone
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_files_are_short():
    lengths = {relative(path): len(path.read_text().splitlines()) for path in FILES if path.suffix in TEXT}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_lead_somewhere(page: Path):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", prose)
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def test_the_index_has_every_decision():
    folder = ROOT / "docs" / "decisions"
    records = [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    lines = [
        f"- [{path.name[:4]}]({path.name}) {path.read_text().splitlines()[0].removeprefix('# ')}" for path in records
    ]
    index = (folder / "README.md").read_text().splitlines()
    assert [line for line in index if line.startswith("- ")] == lines


def test_the_version_is_in_one_place():
    declared = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared
    assert qkern.__version__ == importlib.metadata.version("qkern") == declared[1]
    code = [path for path in FILES if path.suffix in {".py", ".pyi", ".h", ".cc"} and path != Path(__file__)]
    assert [relative(path) for path in (*code, ROOT / "CMakeLists.txt") if f'"{declared[1]}"' in path.read_text()] == []


def test_the_changelog_knows_the_version():
    assert qkern.__version__ in (ROOT / "CHANGELOG.md").read_text()
