"""Developer sessions: `nox` runs the default ones, `nox -s NAME` one, `nox -l` lists them.

Each build that differs in its flags has a build folder of its own, so that none runs on the objects of another.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"  # dependency_groups
nox.options.sessions = ["lint", "typing", "tests"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")


def kernel_tests() -> list[str]:
    """The folders of tests/ that mirror csrc/, and so need no model layer."""
    layers = {folder.name for folder in (ROOT / "csrc").iterdir() if folder.is_dir()}
    return sorted(str(folder.relative_to(ROOT)) for folder in (ROOT / "tests").iterdir() if folder.name in layers)


def cpu_flags() -> set[str]:
    """What Linux says of this processor; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":")[1].split()}


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, on the package as users install it."""
    session.install(".[onnx,test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def node_tests(session: nox.Session) -> None:
    """All of ONNX's node tests; the suite runs every eighth."""
    session.install(".[onnx,test]")
    session.run("pytest", "-n", "auto", "tests/test_backend.py", env={"QKERN_NODE_TESTS": "all"})


@nox.session
def sweep(session: nox.Session) -> None:
    """Every operator of ONNX in every opset and type, with each of its attributes varied, through each fallback."""
    session.install(".[onnx,test]")
    session.run("pytest", "-n", "auto", "tests/sweep", *session.posargs, env={"QKERN_SWEEP": "full"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """5,000 mutated model files: each is refused by name, and none ends the process."""
    session.install(".[onnx,test]")
    session.run("pytest", "-n", "auto", "tests/fuzz", *session.posargs, env={"QKERN_FUZZ_SEEDS": "5000"})


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and clang-format; changes nothing."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = sorted(str(path) for pattern in ("*.h", "*.cc") for path in (ROOT / "csrc").rglob(pattern))
    session.run("clang-format", "--dry-run", "-Werror", *sources, silent=False)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy --strict on the package; the stub stands in for the extension, so nothing is built."""
    metadata = PROJECT["project"]
    session.install(*metadata["dependencies"], *metadata["optional-dependencies"]["onnx"])
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("mypy")


@nox.session
def sanitize(session: nox.Session) -> None:
    """The suite under AddressSanitizer and UndefinedBehaviorSanitizer."""
    session.install(
        "-Cbuild-dir=build/sanitize",
        "-Ccmake.build-type=RelWithDebInfo",
        "-Ccmake.define.QKERN_SANITIZE=ON",
        ".[onnx,test]",
    )
    # The interpreter is not instrumented, so the runtimes come first; libstdc++ too, or ASan finds no __cxa_throw.
    names = ("libasan.so", "libubsan.so", "libstdc++.so")
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in names]
    env = {
        "LD_PRELOAD": " ".join(str(Path(path).resolve()) for path in found),
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython keeps much of what it allocates until the process ends
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    session.run("pytest", "-n", "auto", *session.posargs, env=env)


@nox.session
def tsan(session: nox.Session) -> None:
    """What threads share, under ThreadSanitizer: the pool from C++, then the tests of threads. Linux, with GCC."""
    fixed = ["setarch", "-R"]  # addresses where older ThreadSanitizers expect them
    build, sources = ROOT / "build" / "tsan", sorted(map(str, (ROOT / "csrc" / "threading").glob("*.cc")))
    build.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++20", "-O1", "-g", "-fsanitize=thread", "-pthread", f"-I{ROOT / 'csrc'}"]
    program = ["tests/threading/pool_program.cc", *sources, "-o", str(build / "pool_program")]
    session.run("g++", *flags, *program, external=True)
    session.run(*fixed, str(build / "pool_program"), "50", external=True)
    session.install(
        "-Cbuild-dir=build/tsan/package",
        "-Ccmake.build-type=RelWithDebInfo",
        "-Ccmake.define.QKERN_SANITIZE_THREADS=ON",
        ".[onnx,test]",
    )
    library = subprocess.check_output(["g++", "-print-file-name=libtsan.so"], text=True).strip()
    options = {"exitcode": "66", "die_after_fork": "0", "suppressions": str(ROOT / "tests" / "threading" / "tsan.supp")}
    env = {
        "LD_PRELOAD": str(Path(library).resolve()),
        "TSAN_OPTIONS": ":".join(f"{name}={value}" for name, value in options.items()),
        "OPENBLAS_NUM_THREADS": "1",  # not instrumented
    }
    tests = session.posargs or ["tests/threading", "tests/runtime/test_threads_at_once.py", "-k", "not scalar"]
    session.run(*fixed, "python", "-m", "pytest", *tests, env=env, external=True)


@nox.session
def evex(session: nox.Session) -> None:
    """Kernel tests of the avx_vnni tier on a processor that has its instruction in AVX-512's encoding only."""
    if "avx_vnni" in cpu_flags():
        session.skip("this processor runs the avx_vnni tier as it is: session `tests` covers it")
    if not {"avx512_vnni", "avx512vl"} <= cpu_flags():
        session.skip("this processor has no vpdpbusd on 256 bits")
    session.install("-Cbuild-dir=build/evex", "-Ccmake.define.QKERN_AVX_VNNI_EVEX=ON", ".[onnx,test]")
    session.run("pytest", "-n", "auto", *(session.posargs or kernel_tests()), env={"QKERN_ISA": "avx_vnni"})


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmark suite beside all peers; options of `python -m bench` after --."""
    session.install(".[onnx]", *nox.project.dependency_groups(PROJECT, "bench"))
    session.run("python", "-m", "bench", *session.posargs)


@nox.session
def emulate(session: nox.Session) -> None:
    """Kernel tests of the VNNI tiers with their instructions emulated, on any processor with AVX2."""
    session.install("-Cbuild-dir=build/emulate", "-Ccmake.define.QKERN_EMULATE_VNNI=ON", ".[onnx,test]")
    session.run("pytest", "-n", "auto", *(session.posargs or kernel_tests()))


@nox.session
def aarch64(session: nox.Session) -> None:
    """The aarch64 wheel, cross-compiled, and the suite on it under emulation, on a processor per Arm tier (Debian)."""
    session.run(".ci/aarch64", *session.posargs, external=True)


@nox.session
def x86_levels(session: nox.Session) -> None:
    """Kernel tests under emulation on processors with AVX2 but nothing newer, and without AVX (needs qemu-user)."""
    session.install(".[onnx,test]")
    session.run(".ci/x86-levels", "python", external=True)


@nox.session
def wheels(session: nox.Session) -> None:
    """Linux wheels for x86_64 and aarch64, repaired by auditwheel, and the demo from each in an empty environment."""
    session.run(".ci/wheels", external=True)


@nox.session
def build(session: nox.Session) -> None:
    """sdist, and a wheel from it, into dist/."""
    session.install("build")
    session.run("python", "-m", "build")
