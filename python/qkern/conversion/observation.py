"""What corrections see of the float network: one run over the samples, however many of them look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..runtime.session import Execution

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["Taps", "observe"]

Taps: TypeAlias = "Mapping[str, Sequence[Callable[[NDArray[Any]], object]]]"


def observe(
    model: ir.Model, samples: Iterable[Mapping[str, NDArray[Any]]], *taps: Taps, execution: Execution = Execution()
) -> None:
    """Runs the float `model` on `samples` and shows each tensor, a batch at a time, to those of `taps` that are under
    its name."""
    looking: dict[str, list[Callable[[NDArray[Any]], object]]] = {}
    for each in taps:
        for name, looks in each.items():
            looking.setdefault(name, []).extend(looks)
    if not looking:
        return
    session = execution.session(model, list(looking))

    def tap(name: str, array: NDArray[Any]) -> None:
        for look in looking[name]:
            look(array)

    for feed in samples:
        session.observe(feed, tap)
