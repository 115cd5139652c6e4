"""What the tiles should reach, by counting: no processor of the kind needed, and no time measured.

    python bench/tile_counts.py [x86_64 | aarch64] [--compiler NAME] [--mca llvm-mca-19] [--objects FOLDER]

Compiles csrc/isa/<tier>.cc with the flags of the table of tiers (or takes FOLDER/<tier>.cc.o of a build), finds the
inner loop of each tile in the disassembly, counts its instructions, and asks llvm-mca how many cycles an iteration
takes on several cores. The peak is llvm-mca's own rate for a stream of independent multiplies of the same kind, so a
percentage says how much of that the loop keeps. These are estimates of a model that knows no caches. Prints the tables
of docs/micro_kernels.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "csrc" / "isa" / "CMakeLists.txt").read_text()
NOTHING = "$."


@dataclass(frozen=True)
class Processor:
    """How to compile for it, and how its disassembly reads; from `comment` on regular expressions."""

    compiler: str
    objdump: str
    mca: tuple[str, ...]
    comment: str
    branch: str  # a conditional branch, its target as group 1
    vector: str  # names a vector register
    load: str  # reads memory into a vector register
    only_load: str  # and does nothing else that takes a vector unit
    stack: str  # reads or writes the stack


PROCESSORS = {
    "x86_64": Processor(
        compiler="g++",
        objdump="objdump",
        mca=("-mtriple=x86_64",),
        comment=r"\s*#.*",
        branch=r"j(?!mp)\w+\s+([0-9a-f]+) <",
        vector=r"%[xyz]mm\d",
        load=r"v.*\(.*\).*%[xyz]mm",
        only_load=r"v(?:mov[adu]\w+|broadcast\w+|pbroadcast\w)\s.*\(.*\),%[xyz]mm",
        stack=r".*(?:\(%rsp|-0x[0-9a-f]+\(%rbp)",
    ),
    "aarch64": Processor(
        compiler="aarch64-linux-gnu-g++",
        objdump="aarch64-linux-gnu-objdump",
        mca=("-mtriple=aarch64", "-mattr=+dotprod,+i8mm"),
        comment=r"\s*//.*",
        branch=r"(?:b\.\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?([0-9a-f]+) <",
        vector=r"\sv\d+\.",
        load=r"(?:ldr|ldur|ldp)\s+[qd]\d|ld1",
        only_load=r"(?:ldr|ldur|ldp)\s+[qd]\d|ld1",
        stack=r"(?:ld|st)\w+\s.*\[sp",
    ),
}


@dataclass(frozen=True)
class Tile:
    """A loop to look for: the one with the most `multiplies` that also holds `needs` and does not hold `lacks`."""

    title: str
    tier: str
    multiplies: str
    products: int  # of one multiply
    stream: str  # what the peak is measured with: a step with one multiply, {} a register for its sum
    cores: tuple[str, ...]
    needs: str = ""
    lacks: str = NOTHING


OLD = ("cortex-a53", "cortex-a72", "neoverse-n1", "neoverse-v1", "apple-m1")
DOT = ("cortex-a55", "cortex-a76", "neoverse-n1", "neoverse-v1", "apple-m1")
I8MM = ("neoverse-n2", "neoverse-v1", "apple-m2")
SMULL = r"smull2?\s|smlal2?\s"
VNNI512 = ("cascadelake", "icelake-server", "sapphirerapids", "znver4", "znver5")
AVX512 = ("skylake-avx512", *VNNI512)
VNNI256 = ("alderlake", "sapphirerapids", "znver5")
AVX2 = ("haswell", "skylake", "alderlake", "znver2", "znver3")
DPBUSD = r"(?:{vex} )?vpdpbusd\s"
DPBUSD512 = "vpdpbusd %zmm31, %zmm30, {r}"
MADD = "vpmaddwd %ymm15, %ymm14, %ymm13\nvpaddd %ymm13, {r}, {r}"
UNPACK = "vpunpck"
TILES = {
    "x86_64": (
        Tile("`avx512_vnni`, uint8 lhs", "avx512_vnni", DPBUSD, 64, DPBUSD512, VNNI512, lacks=f"{UNPACK}|vpxor"),
        Tile("`avx512_vnni`, int8 lhs", "avx512_vnni", DPBUSD, 64, DPBUSD512, VNNI512, needs="vpxor", lacks=UNPACK),
        Tile("`avx_vnni`", "avx_vnni", DPBUSD, 32, "{{vex}} vpdpbusd %ymm15, %ymm14, {r}", VNNI256, lacks=UNPACK),
        Tile("`avx2`", "avx2", r"vpmaddwd\s", 16, MADD, AVX2, needs="vpmovsxbw", lacks=UNPACK),
        Tile("FP32, `avx512_vnni`", "avx512_vnni", r"vfmadd\w+ps\s", 16, "vfmadd231ps %zmm31, %zmm30, {r}", VNNI512),
        Tile("FP32, `avx2`, `avx_vnni`", "avx2", r"vfmadd\w+ps\s", 8, "vfmadd231ps %ymm15, %ymm14, {r}", AVX2),
        Tile("depthwise of a row, `avx512_vnni`", "avx512_vnni", DPBUSD, 64, DPBUSD512, VNNI512, needs=UNPACK),
    ),
    "aarch64": (
        Tile("`neon`, narrow weights", "neon", SMULL, 8, "smlal {r}.8h, v30.8b, v31.8b", OLD, needs=r"smlal2\s.*16b"),
        Tile("`neon`, any weights", "neon", SMULL, 8, "smull {r}.8h, v30.8b, v31.8b", OLD, r"smull2\s", "smlal"),
        Tile("`neon_dotprod`", "neon_dotprod", r"sdot\s", 16, "sdot {r}.4s, v30.16b, v31.4b[1]", DOT, lacks="zip"),
        Tile("`neon_i8mm`, int8 lhs", "neon_i8mm", r"smmla\s", 32, "smmla {r}.4s, v30.16b, v31.16b", I8MM),
        Tile("`neon_i8mm`, uint8 lhs", "neon_i8mm", r"usmmla\s", 32, "usmmla {r}.4s, v30.16b, v31.16b", I8MM),
        Tile("FP32, all three", "neon", r"fmla\s", 4, "fmla {r}.4s, v30.4s, v31.s[1]", OLD),
        Tile("depthwise, `sdot`", "neon_dotprod", r"sdot\s", 16, "sdot {r}.4s, v30.16b, v31.16b", DOT, needs="zip1"),
    ),
}


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
    Peer("gemmlowp 12 x 8, udot", 12, 8, 16, 12, 0),
    Peer("ruy 8 x 8, sdot", 8, 8, 16, 8, 0),
    Peer("XNNPACK 4 x 16 c4, sdot", 4, 16, 16, 4, 0),
    Peer("qkern 6 x 16, sdot", 6, 16, 16, 6, 6),
    Peer("XNNPACK 4 x 16 c8, smmla", 4, 16, 32, 4, 4),
    Peer("qkern 4 x 24, smmla", 4, 24, 32, 4, 4),
    Peer("gemmlowp, ruy 4 x 4, smull smlal sadalp", 4, 4, 8, 4, 16),
    Peer("qkern 4 x 4, smull smlal sadalp", 4, 4, 8, 4, 20),
)


def flags_of(tier: str, where: str) -> list[str]:
    """Compiler flags of `tier`: its line of the table, and what all tiers of its processor get from GCC."""
    line = re.search(rf'"{tier}\s*\|[^|]*\|[^|]*\|([^"]*)"', TABLE)
    shared = re.search(r"set\(code_generation ([^)]*)\)", TABLE)
    vectorizer, arm = re.findall(r"list\(APPEND code_generation (-f[^)]*)\)", TABLE)
    assert line
    assert shared
    gcc = f"{vectorizer} {arm}" if where == "aarch64" else vectorizer
    return [*line[1].split(), *shared[1].split(), *gcc.split(), "-std=c++20", "-ffp-contract=off", "-fPIC"]


def compiled(tier: str, where: str, compiler: str, folder: Path) -> Path:
    target = folder / f"{tier}.o"
    source = ROOT / "csrc" / "isa" / f"{tier}.cc"
    subprocess.run([compiler, *flags_of(tier, where), f"-I{ROOT / 'csrc'}", "-c", source, "-o", target], check=True)
    return target


def tile_loops_of(target: Path, processor: Processor) -> list[list[str]]:
    """Those that load what they multiply; the others are loops to measure a peak with (csrc/isa/limits.h)."""
    return [loop for loop in loops_of(target, processor) if count(processor.load, loop)]


def loops_of(target: Path, processor: Processor) -> list[list[str]]:
    """The loops of an object file that hold no other loop, as lists of instructions."""
    command = [processor.objdump, "-d", "--no-show-raw-insn", "--wide", target]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [loop for function in re.split(r"\n(?=[0-9a-f]+ <)", listing) for loop in inner_loops(function, processor)]


def inner_loops(function: str, processor: Processor) -> Iterator[list[str]]:
    lines = re.findall(r"^\s*([0-9a-f]+):\t(.*)$", function, re.MULTILINE)
    code = [(int(address, 16), re.sub(processor.comment, "", text).strip()) for address, text in lines]
    backward = []
    for address, text in code:
        branch = re.match(processor.branch, text)
        if branch and int(branch[1], 16) <= address:
            backward.append((int(branch[1], 16), address))
    for first, last in backward:
        if not any((a, b) != (first, last) and a >= first and b <= last for a, b in backward):
            yield [text for address, text in code if first <= address <= last]


def count(pattern: str, code: list[str]) -> int:
    return sum(bool(re.match(pattern, text)) for text in code)


def loop_of(tile: Tile, loops: list[list[str]]) -> list[str]:
    """The inner loop of `tile`; no instructions where there is none."""
    fitting = [code for code in loops if count(tile.needs, code) and not count(tile.lacks, code)]
    return max(fitting, key=lambda code: count(tile.multiplies, code), default=[])


def cycles(code: list[str], core: str, mca: list[str]) -> float:
    """llvm-mca's cycles per iteration, in the long run."""
    rounds = 200
    asm = "loop:\n" + "\n".join(re.sub(r"\b[0-9a-f]+ <.*>", "loop", text) for text in code) + "\n"
    done = subprocess.run(
        [*mca, f"-mcpu={core}", f"-iterations={rounds}"], input=asm, capture_output=True, text=True, check=True
    )
    total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    assert total
    return int(total[1]) / rounds


def stream_of(tile: Tile) -> list[str]:
    """Independent steps of the tile's multiply, as many as there are sums in it."""
    if "mm15" in tile.stream:
        registers = [f"%ymm{i}" for i in range(12)]
    else:
        registers = [f"%zmm{i}" if "zmm" in tile.stream else f"v{i}" for i in range(24)]
    return [tile.stream.format(r=register) for register in registers]


def row_of(tile: Tile, loops: list[list[str]], processor: Processor, mca: list[str]) -> str:
    code = loop_of(tile, loops)
    assert code, f"no loop of {tile.title} in the disassembly"
    multiplies, loads = count(tile.multiplies, code), count(processor.load, code)
    touching = [text for text in code if re.search(processor.vector, text)]
    vector = len(touching) - multiplies - count(processor.only_load, touching)
    cells = [tile.title, len(code), multiplies, vector, loads, f"{multiplies * tile.products / len(code):.1f}"]
    stream = stream_of(tile)
    cores = []
    for core in tile.cores:
        taken = cycles(code, core, mca)
        peak, reached = len(stream) / cycles(stream, core, mca), multiplies / taken
        cores.append(f"{core} {taken:.0f} cycles, {reached / peak:.0%} of {peak * tile.products:.0f}")
    return "| " + " | ".join(str(cell) for cell in [*cells, "; ".join(cores)]) + " |"


def header(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def print_peers() -> None:
    columns = (
        "tile, 16 depths",
        "multiplies",
        "other vector",
        "loads",
        "multiplies of vector work",
        "bytes per 100 products",
    )
    print(header(*columns))
    for peer in PEERS:
        multiplies, loads, other = peer.counts()
        share, traffic = multiplies / (multiplies + other), 1600 * loads / (peer.rows * peer.cols * 16)
        print(f"| {peer.title} | {multiplies} | {other} | {loads} | {share:.0%} | {traffic:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts the instructions of the tiles.")
    parser.add_argument("processor", nargs="?", choices=list(PROCESSORS), default="aarch64")
    parser.add_argument("--compiler")
    parser.add_argument("--mca", default="llvm-mca-19")
    parser.add_argument("--objects", type=Path, help="folder with <tier>.cc.o of a build, instead of compiling")
    options = parser.parse_args()
    processor, tiles = PROCESSORS[options.processor], TILES[options.processor]
    columns = ("instructions", "multiplies", "other vector", "loads", "products per instruction", "of peak, per cycle")
    print(header("inner loop", *columns))
    loops = {}
    with tempfile.TemporaryDirectory() as folder:
        for tier in sorted({tile.tier for tile in tiles}):
            if options.objects:
                target = options.objects / f"{tier}.cc.o"
            else:
                target = compiled(tier, options.processor, options.compiler or processor.compiler, Path(folder))
            loops[tier] = tile_loops_of(target, processor)
    for tile in tiles:
        print(row_of(tile, loops[tile.tier], processor, [options.mca, *processor.mca]))
    if options.processor == "aarch64":
        print()
        print_peers()


if __name__ == "__main__":
    main()
