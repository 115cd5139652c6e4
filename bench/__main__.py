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

if sys.argv[1:2] == ["models"]:
    from .models.command import main

    sys.exit(main(sys.argv[2:]))

from .run import main  # noqa: E402

sys.exit(main())
