"""A run of whole models, to be asked: rows by model, batch and threads, with accuracy, and who was the fastest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .contestants import DEFAULT, OURS

__all__ = ["Entry", "Setting", "fastest", "settings"]


@dataclass(frozen=True)
class Entry:
    """A contestant's time in one setting, and its accuracy, which is that of all settings."""

    time: Mapping[str, Any]
    accuracy: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.time["contestant"])

    @property
    def seconds(self) -> float:
        return float(self.time["seconds"])

    @property
    def ours(self) -> bool:
        return bool(self.time["library"] == OURS)

    @property
    def int8(self) -> bool:
        return bool(self.time["kind"] == "int8")

    @property
    def packed(self) -> int:
        """Bytes of our weights as kernels read them."""
        return int(self.time["packed_bytes"])

    @property
    def wrong(self) -> bool:
        """Whether its outputs aren't those of the same library's exact mode for the same file."""
        return bool(self.accuracy["wrong_share"])


@dataclass(frozen=True, eq=False)
class Setting:
    """One model with one batch and number of threads: all were timed in turn."""

    model: Mapping[str, Any]
    batch: int
    threads: int
    entries: tuple[Entry, ...]

    @property
    def tiers(self) -> list[str]:
        """Ours, in order."""
        return list(dict.fromkeys(entry.time["tier"] for entry in self.entries if entry.ours))

    def our_int8(self, tier: str) -> Entry:
        """What `quantize_model` for x86 and `Session` give by default."""
        [found] = [e for e in self._ours(tier) if e.time["file"] == DEFAULT and e.time["option"] == "auto"]
        return found

    def our_direct(self, tier: str) -> Entry:
        """The same with `algorithm="direct"`."""
        [found] = [e for e in self._ours(tier) if e.time["file"] == DEFAULT and e.time["option"] == "direct"]
        return found

    def our_fp32(self, tier: str) -> Entry:
        [found] = [entry for entry in self._ours(tier) if not entry.int8]
        return found

    def _ours(self, tier: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.ours and entry.time["tier"] == tier]

    @property
    def fp32(self) -> Entry:
        """The fastest, ours included."""
        [found] = fastest(entry for entry in self.entries if not entry.int8)
        return found

    def peer_fp32(self, library: str) -> Entry | None:
        return next(iter(fastest(e for e in self.entries if e.time["library"] == library and not e.int8)), None)

    def peer(self, *, right: bool = False) -> Entry | None:
        """The fastest other one in int8; with `right` of those that aren't wrong."""
        others = (entry for entry in self.entries if entry.int8 and not entry.ours and not (right and entry.wrong))
        return next(iter(fastest(others)), None)


def fastest(entries: Iterable[Entry]) -> Sequence[Entry]:
    """The fastest one, or none of none."""
    return sorted(entries, key=lambda entry: entry.seconds)[:1]


def settings(document: Mapping[str, Any]) -> list[Setting]:
    """In the order of the run."""
    found = []
    for model in document["models"]:
        accuracy = {row["contestant"]: row for row in model["accuracy"]}
        rows = [row for row in document["rows"] if row["model"] == model["name"]]
        for batch, threads in dict.fromkeys((row["batch"], row["threads"]) for row in rows):
            own = [row for row in rows if (row["batch"], row["threads"]) == (batch, threads)]
            entries = tuple(Entry(row, accuracy[row["contestant"]]) for row in own)
            found.append(Setting(model, batch, threads, entries))
    return found
