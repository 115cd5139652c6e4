"""`python -m bench`: puts the environment right before anything reads it, then runs."""

from __future__ import annotations

import os
import sys

# OpenBLAS reads these when NumPy loads it: a core type or a cache size set for another purpose cripples NumPy's FP32.
for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
    print(f"bench: {name} is ignored", file=sys.stderr)
    del os.environ[name]
if "--openblas-core" in sys.argv[:-1]:
    os.environ["OPENBLAS_CORETYPE"] = sys.argv[sys.argv.index("--openblas-core") + 1]

# Libraries ask the processor what it has when they are loaded: a process limited to older instructions is a new one.
if "--instructions" in sys.argv[:-1]:
    from . import instructions

    tier = sys.argv[sys.argv.index("--instructions") + 1]
    if instructions.limit() != tier:
        try:
            os.environ.update(instructions.environment(tier))
        except ValueError as error:
            sys.exit(f"python -m bench: error: argument --instructions: {error}")
        os.execv(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]])

    import qkern

    if qkern.isa.available()[0] != tier:
        sys.exit(f"python -m bench: error: argument --instructions: the best tier is {qkern.isa.available()[0]}")

if sys.argv[1:2] == ["models"]:
    from .models.command import main

    sys.exit(main(sys.argv[2:]))

from .run import main  # noqa: E402

sys.exit(main())
