from __future__ import annotations

import dataclasses
import platform

import pytest
from qkern.target import TARGETS, Target, get_target


@pytest.mark.parametrize(("name", "dtype", "method"), [("x86", "uint8", "kl"), ("arm", "int8", "minmax")])
def test_presets(name, dtype, method):
    target = get_target(name)
    assert (target.name, target.activation.dtype, target.method) == (name, dtype, method)
    assert not target.activation.symmetric
    assert not target.activation.per_channel
    assert target.weight.limits == (-127, 127)
    assert target.weight.symmetric
    assert target.weight.per_channel


@pytest.mark.parametrize(
    ("machine", "name"),
    [("x86_64", "x86"), ("AMD64", "x86"), ("aarch64", "arm"), ("arm64", "arm"), ("ARM64", "arm"), ("armv7l", "arm")],
)
def test_auto_is_this_machine(monkeypatch, machine, name):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert get_target() is get_target("auto") is TARGETS[name]


def test_a_target_is_returned_as_it_is():
    target = dataclasses.replace(TARGETS["x86"], method="percentile")
    assert get_target(target) is target
    assert isinstance(target, Target)


@pytest.mark.parametrize("name", ["X86", "riscv", ""])
def test_another_name(name):
    with pytest.raises(ValueError, match=f"'{name}' is not one of x86, arm, auto"):
        get_target(name)
