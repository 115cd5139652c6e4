"""`python -m qkern` is the command `qkern`."""

import sys

from .cli import main

sys.exit(main())
