"""The table of observers: merging, files, and the questions conversion asks."""

import os

import numpy as np
import pytest
from qkern.calibration import METHODS, CalibrationTable, HistogramObserver, MinMaxObserver
from qkern.scheme import Scheme

rng = np.random.default_rng(2)
UINT8 = Scheme("uint8")


def table_of(cls, **arrays):
    table = CalibrationTable((name, cls()) for name in arrays)
    for name, array in arrays.items():
        table[name].update(array)
    return table


A, B, C = (rng.laplace(size=20_000) for _ in range(3))


def test_parameters_by_name_scheme_and_method():
    table = table_of(HistogramObserver, a=A, b=10 * B)
    for method in ("minmax", "kl"):
        for name in table:
            assert table.quant_params(name, UINT8, method).same_as(table[name].quant_params(UINT8, method))
    assert table.quant_params("a", UINT8, "minmax").dtype == np.uint8
    assert not table.quant_params("a", UINT8, "kl").same_as(table.quant_params("a", UINT8, "minmax"))
    with pytest.raises(KeyError, match="z"):
        table.quant_params("z", UINT8, "kl")
    with pytest.raises(ValueError, match=r"tensor 'a'.*'best' is not one of"):
        table.quant_params("a", UINT8, "best")
    with pytest.raises(ValueError, match="tensor 'a': method 'kl' needs a HistogramObserver"):
        table_of(MinMaxObserver, a=A).quant_params("a", UINT8, "kl")
    with pytest.raises(ValueError, match="tensor 'a': nothing was observed"):
        CalibrationTable({"a": HistogramObserver()}).quant_params("a", UINT8, "kl")


@pytest.mark.parametrize("method", ["minmax", "kl", "auto"])
def test_a_range_is_chosen_once_for_what_was_seen(monkeypatch, method):
    calls = []
    choose = METHODS[method]
    monkeypatch.setitem(METHODS, method, lambda *given: calls.append(given) or choose(*given))
    table, direct = table_of(HistogramObserver, a=A, b=B), table_of(HistogramObserver, a=A, b=B)
    steps = {
        "nothing": lambda t: None,
        "update": lambda t: t["a"].update(5 * C),
        "merge": lambda t: t.merge(table_of(HistogramObserver, a=9 * C)),
        "replace": lambda t: t.replace(table_of(HistogramObserver, a=C, b=C), 1),
    }
    for step in steps.values():
        step(table)
        step(direct)
        expected = direct["a"].quant_params(UINT8, method)
        calls.clear()
        for _ in range(3):
            assert table.quant_params("a", UINT8, method).same_as(expected)
        assert len(calls) == 1


@pytest.mark.parametrize("cls", [MinMaxObserver, HistogramObserver])
def test_tables_merge_tensor_by_tensor(cls):
    table, other = table_of(cls, a=A, b=B), table_of(cls, b=C, c=C)
    unchanged = other["c"].to_bytes()
    table.merge(other)
    assert list(table) == ["a", "b", "c"]
    assert table["a"] == table_of(cls, a=A)["a"]
    assert table["b"] == table_of(cls, b=np.concatenate([C, B]))["b"]
    table["c"].update(A)  # what was merged is a copy
    assert other["c"].to_bytes() == unchanged


def test_tables_of_different_observers_do_not_merge():
    table = table_of(HistogramObserver, a=A, b=B)
    before = [observer.to_bytes() for observer in table.values()]
    other = CalibrationTable({**table_of(HistogramObserver, a=C), **table_of(MinMaxObserver, b=C)})
    with pytest.raises(TypeError, match="tensor 'b': can't merge MinMaxObserver into HistogramObserver"):
        table.merge(other)
    assert [observer.to_bytes() for observer in table.values()] == before


def test_a_saved_table_is_the_table(tmp_path):
    table = CalibrationTable(
        {
            "/features/conv.1/Conv_output_0": table_of(HistogramObserver, a=A)["a"],
            "Größe": table_of(MinMaxObserver, a=B)["a"],
            "unseen": HistogramObserver(),
        }
    )
    path = tmp_path / "table.npz"
    table.save(path)
    loaded = CalibrationTable.load(path)
    assert list(loaded) == list(table)
    assert dict(loaded) == dict(table)
    assert [type(observer) for observer in loaded.values()] == [type(observer) for observer in table.values()]
    CalibrationTable().save(path)
    assert len(CalibrationTable.load(path)) == 0
    assert os.listdir(tmp_path) == ["table.npz"]


def test_a_table_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        table_of(MinMaxObserver, a=A).save(tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]
    with pytest.raises(FileNotFoundError):
        table_of(MinMaxObserver, a=A).save(tmp_path / "nowhere" / "table.npz")


def test_another_file_is_not_a_table(tmp_path):
    path = tmp_path / "table.npz"
    table_of(HistogramObserver, a=A).save(path)
    whole = path.read_bytes()
    with np.load(path) as arrays:
        fields = dict(arrays)
    np.savez(tmp_path / "other.npz", x=A)
    np.save(tmp_path / "array.npy", A)
    np.savez(tmp_path / "short.npz", **{**fields, "states": fields["states"][:-1]})
    np.savez(tmp_path / "kind.npz", **{**fields, "kinds": np.array(["median"])})
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("other.npz", "array.npy", "short.npz", "kind.npz", "cut.npz", "empty.npz"):
        with pytest.raises(ValueError, match=f"{name}: not a calibration table"):
            CalibrationTable.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        CalibrationTable.load(tmp_path / "nowhere.npz")
