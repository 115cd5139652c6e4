"""Plans that no thread runs, by the forms of what arrives: those of the latest forms are kept."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from ..locks import Lock
from .batch_plan import BatchPlan
from .plan import Plan

__all__ = ["IdlePlans"]


@dataclass(eq=False)
class _OfForms:
    """Plans for the same forms: one, and those that other threads needed; `used`: when one was last given back."""

    used: int = 0
    plan: Plan | BatchPlan | None = None
    others: list[Plan | BatchPlan] = field(default_factory=list)

    def pop(self) -> Plan | BatchPlan | None:
        """Takes one away; None where there is none."""
        plan, self.plan = self.plan, None
        return self.others.pop() if plan is None and self.others else plan


class IdlePlans:
    """May be used from several threads; a plan belongs to the one that took it until it is put back."""

    def __init__(self, most_forms: int) -> None:
        self._most_forms = most_forms
        self._by_forms: dict[Hashable, _OfForms] = {}
        self._time = 0
        self._lock = Lock()

    def take(self, forms: Hashable) -> Plan | BatchPlan | None:
        """A plan for these forms, None where all are in use."""
        with self._lock:
            idle = self._by_forms.get(forms)
            return None if idle is None else idle.pop()

    def plans(self) -> list[Plan | BatchPlan]:
        """All of them."""
        with self._lock:
            every = [plan for idle in self._by_forms.values() for plan in (idle.plan, *idle.others)]
            return [plan for plan in every if plan is not None]

    def put(self, forms: Hashable, plan: Plan | BatchPlan) -> None:
        """Gives a plan back; those of the forms that haven't been seen for the longest time are forgotten."""
        with self._lock:
            idle = self._by_forms.get(forms)
            if idle is None:
                idle = self._by_forms[forms] = _OfForms()
            self._time = idle.used = self._time + 1
            if idle.plan is None:
                idle.plan = plan
            else:
                idle.others.append(plan)
            if len(self._by_forms) > self._most_forms:
                del self._by_forms[min(self._by_forms, key=lambda each: self._by_forms[each].used)]
