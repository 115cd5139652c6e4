"""threadpoolctl sees the pool of threads beside BLAS's and OpenMP's: `threadpool_info`, `threadpool_limits`.

The controller is registered when threadpoolctl is imported, before or after qkern; qkern itself doesn't import it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["register_when_imported"]


def register_when_imported() -> None:
    """Registers the controller now, or as soon as threadpoolctl is imported."""
    module = sys.modules.get("threadpoolctl")
    if module is None:
        sys.meta_path.insert(0, _Importer())
    else:
        _register(module)


class _Importer:
    """Finds threadpoolctl like everybody else does, and adds the controller to what its import does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "threadpoolctl":
            return None
        import importlib.util  # takes a third of a millisecond

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _register(threadpoolctl: Any) -> None:
    class QkernController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "qkern"
        internal_api = "qkern"
        filename_prefixes = ("_core",)
        check_symbols = ("qkern_get_num_threads", "qkern_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.qkern_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.qkern_set_num_threads(num_threads)

        def get_version(self) -> str:
            return _core.__version__

    if hasattr(threadpoolctl, "register"):  # from 3.2 on
        threadpoolctl.register(QkernController)
