"""Plans that no thread runs, by the forms of what arrives: those of the latest forms are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from ..locks import Lock
from .batch_plan import BatchPlan
from .plan import Plan

__all__ = ["IdlePlans"]


class IdlePlans:
    """May be used from several threads; a plan belongs to the one that took it until it is put back."""

    def __init__(self, most_forms: int) -> None:
        self._most_forms = most_forms
        self._plans: OrderedDict[Hashable, list[Plan | BatchPlan]] = OrderedDict()
        self._lock = Lock()

    def take(self, forms: Hashable) -> Plan | BatchPlan | None:
        """A plan for these forms, None where all are in use."""
        with self._lock:
            idle = self._plans.get(forms)
            return idle.pop() if idle else None

    def plans(self) -> list[Plan | BatchPlan]:
        """All of them."""
        with self._lock:
            return [plan for plans in self._plans.values() for plan in plans]

    def put(self, forms: Hashable, plan: Plan | BatchPlan) -> None:
        """Gives a plan back; those of the forms that haven't been seen for the longest time are forgotten."""
        with self._lock:
            self._plans.setdefault(forms, []).append(plan)
            self._plans.move_to_end(forms)
            while len(self._plans) > self._most_forms:
                self._plans.popitem(last=False)
