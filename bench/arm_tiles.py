"""What the Arm tiles should reach, by counting: no Arm processor needed, and no time measured.

    python bench/arm_tiles.py [--compiler aarch64-linux-gnu-g++] [--mca llvm-mca-19]

Compiles csrc/isa/neon*.cc with the flags of the table of tiers, takes the inner loop of each tile from the disassembly,
counts its instructions, and asks llvm-mca how many cycles an iteration takes on several cores. The peak is llvm-mca's
own rate for a stream of independent multiplies of the same kind, so a percentage says how much of that the loop keeps.
These are estimates of a model that knows no caches. Prints the tables of docs/micro_kernels.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "csrc" / "isa" / "CMakeLists.txt").read_text()
LOADS = re.compile(r"(?:ldr|ldur|ldp)\s+[qd]\d|ld1")


@dataclass(frozen=True)
class Tile:
    """A loop to look for: the one with the most `multiplies` that also holds `needs` and does not hold `lacks`."""

    title: str
    tier: str
    multiplies: str
    products: int  # of one multiply
    stream: str  # what the peak is measured with
    cores: tuple[str, ...]
    needs: str = ""
    lacks: str = "^$"


OLD = ("cortex-a53", "cortex-a72", "neoverse-n1", "neoverse-v1", "apple-m1")
DOT = ("cortex-a55", "cortex-a76", "neoverse-n1", "neoverse-v1", "apple-m1")
I8MM = ("neoverse-n2", "neoverse-v1", "apple-m2")
SMULL = r"smull2?\s|smlal2?\s"
TILES = (
    Tile("`neon`, narrow weights", "neon", SMULL, 8, "smlal {}.8h, v30.8b, v31.8b", OLD, needs=r"smlal2\s.*16b"),
    Tile("`neon`, any weights", "neon", SMULL, 8, "smull {}.8h, v30.8b, v31.8b", OLD, needs=r"smull2\s", lacks="smlal"),
    Tile("`neon_dotprod`", "neon_dotprod", r"sdot\s", 16, "sdot {}.4s, v30.16b, v31.4b[1]", DOT, lacks="zip"),
    Tile("`neon_i8mm`, int8 lhs", "neon_i8mm", r"smmla\s", 32, "smmla {}.4s, v30.16b, v31.16b", I8MM),
    Tile("`neon_i8mm`, uint8 lhs", "neon_i8mm", r"usmmla\s", 32, "usmmla {}.4s, v30.16b, v31.16b", I8MM),
    Tile("FP32, all three", "neon", r"fmla\s", 4, "fmla {}.4s, v30.4s, v31.s[1]", OLD),
    Tile("depthwise, `sdot`", "neon_dotprod", r"sdot\s", 16, "sdot {}.4s, v30.16b, v31.16b", DOT, needs="zip1"),
)


@dataclass(frozen=True)
class Peer:
    """A tile that another library publishes: its shape, and per 16 bytes of depth what one iteration does."""

    title: str
    rows: int
    cols: int
    products: int
    lhs_loads: int
    other: int  # vector instructions that neither load nor multiply

    def counts(self) -> tuple[int, int, int]:
        multiplies = self.rows * self.cols * 16 // self.products
        return multiplies, self.lhs_loads + self.cols, self.other


PEERS = (
    Peer("gemmlowp 12 x 8, sdot", 12, 8, 16, 12, 0),
    Peer("ruy 8 x 8, sdot", 8, 8, 16, 8, 0),
    Peer("XNNPACK 4 x 16 c4, sdot", 4, 16, 16, 4, 0),
    Peer("qkern 6 x 16, sdot", 6, 16, 16, 6, 6),
    Peer("XNNPACK 4 x 16 c8, smmla", 4, 16, 32, 4, 4),
    Peer("qkern 4 x 24, smmla", 4, 24, 32, 4, 4),
    Peer("gemmlowp, ruy 4 x 4, smull smlal sadalp", 4, 4, 8, 4, 16),
    Peer("qkern 4 x 4, smull smlal sadalp", 4, 4, 8, 4, 20),
)


def flags_of(tier: str) -> list[str]:
    """Compiler flags of `tier`: its line of the table, and what all tiers get."""
    line = re.search(rf'"{tier}\s*\|[^|]*\|[^|]*\|([^"]*)"', TABLE)
    shared = re.search(r"set\(code_generation ([^)]*)\)", TABLE)
    gcc = re.findall(r"list\(APPEND code_generation (-f[^)]*)\)", TABLE)
    assert line
    assert shared
    assert gcc
    return [*line[1].split(), *shared[1].split(), *" ".join(gcc).split(), "-std=c++20", "-ffp-contract=off", "-fPIC"]


def compile_tier(tier: str, compiler: str, folder: Path) -> list[list[str]]:
    """The loops of csrc/isa/`tier`.cc that hold no other loop, as lists of instructions."""
    target = folder / f"{tier}.o"
    source = ROOT / "csrc" / "isa" / f"{tier}.cc"
    subprocess.run([compiler, *flags_of(tier), f"-I{ROOT / 'csrc'}", "-c", source, "-o", target], check=True)
    objdump = re.sub(r"g\+\+.*$", "objdump", compiler)
    listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", target], check=True, capture_output=True, text=True)
    loops = []
    for function in re.split(r"\n(?=[0-9a-f]+ <)", listing.stdout):
        lines = re.findall(r"^\s*([0-9a-f]+):\t(.*)$", function, re.MULTILINE)
        code = [(int(address, 16), text.split("//")[0].strip()) for address, text in lines]
        backward = []
        for address, text in code:
            branch = re.match(r"(?:b\.\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?([0-9a-f]+) <", text)
            if branch and int(branch[1], 16) <= address:
                backward.append((int(branch[1], 16), address))
        for first, last in backward:
            if not any((a, b) != (first, last) and a >= first and b <= last for a, b in backward):
                loops.append([text for address, text in code if first <= address <= last])
    return loops


def count(pattern: str | re.Pattern[str], code: list[str]) -> int:
    return sum(bool(re.match(pattern, text)) for text in code)


def inner_loop(tile: Tile, loops: list[list[str]]) -> list[str]:
    fitting = [code for code in loops if count(tile.needs, code) and not count(tile.lacks, code)]
    return max(fitting, key=lambda code: count(tile.multiplies, code))


def cycles(code: list[str], core: str, mca: str) -> float:
    """llvm-mca's cycles per iteration, in the long run."""
    rounds = 200
    asm = "loop:\n" + "\n".join(re.sub(r"\b[0-9a-f]+ <.*>", "loop", text) for text in code) + "\n"
    command = [mca, "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod,+i8mm", f"-iterations={rounds}"]
    done = subprocess.run(command, input=asm, capture_output=True, text=True, check=True)
    total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    assert total
    return int(total[1]) / rounds


def row_of(tile: Tile, loops: list[list[str]], mca: str) -> str:
    code = inner_loop(tile, loops)
    multiplies, loads = count(tile.multiplies, code), count(LOADS, code)
    vector = sum(bool(re.search(r"\sv\d+\.", text)) for text in code) - multiplies - count(r"ld1", code)
    cells = [tile.title, len(code), multiplies, vector, loads, f"{multiplies * tile.products / len(code):.1f}"]
    stream = [tile.stream.format(f"v{i}") for i in range(24)]
    for core in tile.cores:
        peak, reached = len(stream) / cycles(stream, core, mca), multiplies / cycles(code, core, mca)
        cells.append(f"{core} {reached / peak:.0%} of {peak * tile.products:.0f}")
    return (
        "| " + " | ".join(str(cell) for cell in cells[:6]) + " | " + ", ".join(str(cell) for cell in cells[6:]) + " |"
    )


def header(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts the instructions of the Arm tiles.")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument("--mca", default="llvm-mca-19")
    options = parser.parse_args()
    print(
        header(
            "inner loop",
            "instructions",
            "multiplies",
            "other vector",
            "loads",
            "products per instruction",
            "of peak, per cycle",
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        loops = {tier: compile_tier(tier, options.compiler, Path(folder)) for tier in sorted({t.tier for t in TILES})}
        for tile in TILES:
            print(row_of(tile, loops[tile.tier], options.mca))
    print()
    print(
        header(
            "tile, 16 depths",
            "multiplies",
            "other vector",
            "loads",
            "multiplies of vector work",
            "bytes per 100 products",
        )
    )
    for peer in PEERS:
        multiplies, loads, other = peer.counts()
        share, traffic = multiplies / (multiplies + other), 1600 * loads / (peer.rows * peer.cols * 16)
        print(f"| {peer.title} | {multiplies} | {other} | {loads} | {share:.0%} | {traffic:.1f} |")


if __name__ == "__main__":
    main()
