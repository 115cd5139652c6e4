"""A program in one call, from feeds of fixed forms to outputs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import qkern
from onnx_text import graph
from qkern import _core, program
from qkern.program import Form

F = np.dtype(np.float32)


def clamp(size: int) -> _core.NativeCall:
    call = program.Clamped((0.0, 1.0)).native(Form((size,), F))
    assert call is not None
    return call


def clamped_twice(size: int = 6) -> _core.FixedProgram:
    """y = x clamped, by way of the arena; z = v clamped, in another shape."""
    call = clamp(size)
    steps = _core.Program([(call, [(0, 0)], 0), (call, [0], (2, 0)), (call, [(1, 0)], (3, 0))])
    inputs = [("x", F, (size,), 0), ("v", F, (2, size // 2), 1)]
    return _core.FixedProgram(steps, 4 * size, inputs, [(F, (size // 2, 2), 3), (F, (size,), 2)])


X, V = np.linspace(-1, 2, 6, dtype=F), np.linspace(2, -1, 6, dtype=F).reshape(2, 3)


def test_outputs_are_new_arrays_in_the_order_asked_for():
    fixed = clamped_twice()
    for threads in (0, 1, 2):
        z, y = fixed.run({"v": V, "x": X}, threads)
        np.testing.assert_array_equal(z, np.clip(V, 0, 1).reshape(3, 2))
        np.testing.assert_array_equal(y, np.clip(X, 0, 1))
        for each in (y, z):
            assert each.flags.owndata
            assert each.flags.writeable
            assert each.flags.c_contiguous


class Feeds(dict):
    pass


OTHERS: dict[str, Any] = {
    "no dict": [("x", X), ("v", V)],
    "a dict of another kind": Feeds(x=X, v=V),
    "too few": {"x": X},
    "too many": {"x": X, "v": V, "w": X},
    "another name": {"x": X, "w": V},
    "names that are no text": {"x": X, 3: V},
    "a list": {"x": X.tolist(), "v": V},
    "nothing": {"x": None, "v": V},
    "a number": {"x": np.float32(1), "v": V},
    "another type": {"x": X.astype(np.float64), "v": V},
    "a type of the same size": {"x": X.view(np.int32), "v": V},
    "another byte order": {"x": X.astype(">f4"), "v": V},
    "another size": {"x": X[:5], "v": V},
    "another rank": {"x": X.reshape(6, 1), "v": V},
    "axes in another order": {"x": X, "v": np.asfortranarray(V)},
    "gaps": {"x": np.repeat(X, 2)[::2], "v": V},
    "no alignment": {"x": np.frombuffer(b"." + X.tobytes(), np.uint8)[1:].view(F), "v": V},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_feeds_are_left_to_others(name: str):
    fixed = clamped_twice()
    assert fixed.run(OTHERS[name]) is None
    assert fixed.run({"x": X, "v": V}) is not None


def test_feeds_of_equal_types_and_of_subclasses(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")  # not writeable
    again = np.frombuffer(X.tobytes(), np.dtype([("x", "=f4")])["x"])
    for x in (mapped, again, np.ma.masked_array(X)):
        _, y = clamped_twice().run({"x": x, "v": V})
        assert type(y) is np.ndarray
        np.testing.assert_array_equal(y, np.clip(X, 0, 1))


def test_times():
    times = np.zeros(4, np.int64)
    assert clamped_twice().run({"x": X, "v": V}, 0, times) is not None
    assert 0 < times[0] <= times[1] <= times[2] <= times[3]
    with pytest.raises(ValueError, match="times"):
        clamped_twice().run({"x": X, "v": V}, 0, times[:3])


def test_what_it_is_made_of_is_checked():
    call = clamp(6)
    steps = _core.Program([(call, [(0, 0)], (1, 0))])
    x, y = ("x", F, (6,), 0), (F, (6,), 1)
    with pytest.raises(ValueError, match="arena_bytes"):
        _core.FixedProgram(steps, -1, [x], [y])
    with pytest.raises(ValueError, match="neither"):
        _core.FixedProgram(steps, 0, [x], [])
    with pytest.raises(ValueError, match="twice"):
        _core.FixedProgram(steps, 0, [x], [y, y])
    with pytest.raises(ValueError, match="array 2"):
        _core.FixedProgram(steps, 0, [x], [y, (F, (6,), 2)])
    with pytest.raises(ValueError, match="array -1"):
        _core.FixedProgram(steps, 0, [x, ("v", F, (6,), -1)], [y])


def test_an_object_without_constructor():
    made = _core.FixedProgram.__new__(_core.FixedProgram)
    for _ in range(2):
        with pytest.raises(TypeError):
            made.run({})


def test_threads_at_once():
    fixed, rng = clamped_twice(60_000), np.random.default_rng(0)
    feeds = [{"x": (x := rng.standard_normal(60_000).astype(F)), "v": x.reshape(2, -1)} for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for given, results in zip(feeds * 20, pool.map(fixed.run, feeds * 20), strict=True):
            for each in results:
                assert each.tobytes() == np.clip(given["x"], 0, 1).tobytes()


TEXT = """(float[N, 3, 8, 8] x, float[N, 4] b) => (float[N, 4] y) {
    c = Conv(x, w) p = GlobalAveragePool(c) f = Flatten(p) y = Add(f, b)
}"""


def test_a_session_takes_the_short_way_and_leaves_it(rng, threads):
    threads(1)
    session = qkern.Session(graph(TEXT, w=rng.standard_normal((4, 3, 3, 3)).astype(F)))
    x, b = rng.standard_normal((2, 3, 8, 8)).astype(F), rng.standard_normal((2, 4)).astype(F)
    feeds = {"x": x, "b": b}
    assert session._executor.again(feeds) is None
    (expected,) = session.run(None, feeds)
    (short,) = session._executor.again(feeds)
    assert short.tobytes() == expected.tobytes()
    for same in ({"x": np.asfortranarray(x), "b": np.repeat(b, 2, axis=1)[:, ::2]}, {"b": b, "x": x}, Feeds(feeds)):
        assert session.run(["y"], same)[0].tobytes() == expected.tobytes()
    assert session.run(None, {"x": x[:1], "b": b[:1]})[0].tobytes() == expected[:1].tobytes()
    for wrong, message in (
        ({"x": x}, "'b' is missing"),
        ({**feeds, "z": b}, "no input 'z'"),
        ({"x": x.astype(np.float64), "b": b}, "float64"),
        ({"x": x[:, :2], "b": b}, r"\[2, 2, 8, 8\]"),
    ):
        assert session.run(None, feeds)[0].tobytes() == expected.tobytes()
        with pytest.raises(ValueError, match=message):
            session.run(None, wrong)
