"""Calibration data in every form it may come in."""

import numpy as np
import pytest
from qkern.calibration import Feeds, InputSpec, Sampling

IMAGE = InputSpec("image", np.dtype(np.float32), (None, 3, 4, 4))
MASK = InputSpec("mask", np.dtype(np.float32), (None, 5))
rng = np.random.default_rng(5)
X = rng.normal(size=(19, 3, 4, 4)).astype(np.float32)
M = rng.normal(size=(19, 5)).astype(np.float32)


def gathered(feeds, name="image"):
    batches = [feed[name] for feed in feeds]
    assert all(batch.flags.c_contiguous for batch in batches)
    return np.concatenate(batches), [len(batch) for batch in batches]


@pytest.mark.parametrize(
    ("source", "samples", "sizes"),
    [
        (X, 19, [8, 8, 3]),
        (X[0], 1, [1]),
        ({"image": X}, 19, [8, 8, 3]),
        ({"image": X, "label": np.arange(19)}, 19, [8, 8, 3]),
        ([X[:2], X[2], {"image": X[3:]}], 19, [2, 1, 8, 8]),
        (list(X), 19, [1] * 19),
        (iter([X[:10], X[10:]]), None, [8, 2, 8, 1]),
        (({"image": x} for x in X), None, [1] * 19),
    ],
)
def test_arrays_mappings_and_iterables(source, samples, sizes):
    feeds = Feeds(source, Sampling((IMAGE,)))
    assert feeds.samples == samples
    array, got = gathered(feeds)
    assert got == sizes
    np.testing.assert_array_equal(array, X[: len(array)])


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_the_batch_size_is_the_callers(batch):
    array, sizes = gathered(Feeds(X, Sampling((IMAGE,)), batch=batch))
    assert max(sizes) == min(batch, 19)
    np.testing.assert_array_equal(array, X)


def test_files_and_folders(tmp_path):
    np.save(tmp_path / "all.npy", X)
    np.savez(tmp_path / "named.npz", image=X, label=np.arange(19))
    np.savez_compressed(tmp_path / "one.npz", X)
    for name in ("all.npy", "named.npz", "one.npz"):
        feeds = Feeds(tmp_path / name, Sampling((IMAGE,)))
        assert feeds.samples == 19
        np.testing.assert_array_equal(gathered(feeds)[0], X)
        np.testing.assert_array_equal(gathered(Feeds(str(tmp_path / name), Sampling((IMAGE,))))[0], X)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "b.npy", X[1])
    np.save(folder / "a.npy", X[0])
    np.savez(folder / "c.npz", image=X[2:])
    (folder / "readme.txt").write_text("not data")
    feeds = Feeds(folder, Sampling((IMAGE,)))
    assert feeds.samples is None
    for _ in range(2):
        np.testing.assert_array_equal(gathered(feeds)[0], X)


def test_a_file_is_memory_mapped(tmp_path):
    big = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(1 << 20, 3, 16, 16))
    del big  # 3 GiB, sparse on disk
    spec = InputSpec("image", np.dtype(np.float32), (None, 3, 16, 16))
    feeds = Feeds(tmp_path / "big.npy", Sampling((spec,)))
    assert feeds.samples == 1 << 20
    assert next(iter(feeds))["image"].shape == (8, 3, 16, 16)


def test_several_inputs_go_together():
    feeds = list(Feeds({"mask": M, "image": X}, Sampling((IMAGE, MASK))))
    assert [list(feed) for feed in feeds] == [["image", "mask"]] * 3
    np.testing.assert_array_equal(np.concatenate([feed["mask"] for feed in feeds]), M)
    with pytest.raises(ValueError, match="different numbers of samples: 'image' 19, 'mask' 18"):
        Feeds({"mask": M[:-1], "image": X}, Sampling((IMAGE, MASK)))
    with pytest.raises(ValueError, match="no array for input 'mask', only 'image'"):
        Feeds({"image": X}, Sampling((IMAGE, MASK)))
    with pytest.raises(ValueError, match="2 inputs"):
        Feeds(X, Sampling((IMAGE, MASK)))


def test_an_input_of_any_shape_takes_what_comes():
    array, sizes = gathered(Feeds(X, Sampling((InputSpec("image", np.dtype(np.float32), None),))))
    assert sizes == [8, 8, 3]
    np.testing.assert_array_equal(array, X)


def test_a_scalar_input_is_one_sample():
    feeds = Feeds([{"x": np.float32(1)}, {"x": np.float32(2)}], Sampling((InputSpec("x", np.dtype(np.float32), ()),)))
    assert feeds.samples == 2
    assert [float(feed["x"]) for feed in feeds] == [1, 2]


def test_a_fixed_batch_is_kept():
    spec = InputSpec("image", np.dtype(np.float32), (4, 3, 4, 4))
    assert gathered(Feeds(X[:16], Sampling((spec,))))[1] == [4] * 4
    with pytest.raises(ValueError, match="'image' takes batches of 4, which 19 samples"):
        list(Feeds(X, Sampling((spec,))))
    assert gathered(Feeds(X, Sampling((InputSpec("image", np.dtype(np.float32), (1, 3, 4, 4)),))))[1] == [1] * 19


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X.astype(np.float64), r"'image' takes float32 \[\?, 3, 4, 4\], not float64 \[19, 3, 4, 4\]"),
        (X[:, :2], r"'image' takes float32 \[\?, 3, 4, 4\], not float32 \[19, 2, 4, 4\]"),
        (X[0, 0], r"not float32 \[4, 4\]"),
        (X.transpose(0, 2, 3, 1), r"not float32 \[19, 4, 4, 3\]"),
        ({"picture": X, "label": X}, "no array for input 'image', only 'picture', 'label'"),
        ({}, "no array for input 'image', only nothing"),
        (["cat.jpg"], r"item 0 is a str, and should be an array for 'image' \(float32 \[\?, 3, 4, 4\]\), or a mapping"),
    ],
)
def test_what_does_not_fit_is_named(bad, message):
    with pytest.raises(ValueError, match=message):
        Feeds(bad, Sampling((IMAGE,)))
    with pytest.raises(ValueError, match=message):
        list(Feeds(iter([bad] if not isinstance(bad, list) else bad), Sampling((IMAGE,))))


@pytest.mark.parametrize("nothing", [[], iter([]), X[:0], {"image": X[:0]}, [X[:0], X[:0]]])
def test_no_data_is_an_error(nothing):
    with pytest.raises(ValueError, match="no calibration data"):
        list(Feeds(nothing, Sampling((IMAGE,))))


def test_an_empty_folder_and_what_is_not_there_and_what_is_not_numpy(tmp_path):
    with pytest.raises(ValueError, match=r"no calibration data: .* holds no \.npy or \.npz"):
        Feeds(tmp_path, Sampling((IMAGE,)))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Feeds(tmp_path / "nowhere", Sampling((IMAGE,)))
    with pytest.raises(TypeError, match="not int"):
        Feeds(3, Sampling((IMAGE,)))
    with pytest.raises(ValueError, match="no inputs"):
        Feeds(X, Sampling(()))
    np.save(tmp_path / "cut.npy", X)
    whole = (tmp_path / "cut.npy").read_bytes()
    for content in (b"", b"not numpy", whole[:50], whole[:-5]):
        (tmp_path / "cut.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.npy: not a NumPy file"):
            Feeds(tmp_path / "cut.npy", Sampling((IMAGE,)))
    np.savez_compressed(tmp_path / "cut.npz", X)
    whole = (tmp_path / "cut.npz").read_bytes()
    for content in (whole[:-9], whole[:2000] + bytes(200) + whole[2200:], b"PK\x03\x04 and no more"):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.npz: not a NumPy file"):
            Feeds(tmp_path / "cut.npz", Sampling((IMAGE,)))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a NumPy file"):
        Feeds(tmp_path / "objects.npy", Sampling((IMAGE,)))


@pytest.mark.parametrize("sample", [0, 7, 8, 18])
def test_nan_is_named_with_its_sample(sample):
    x = X.copy()
    x[sample, 1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=f"input 'image': NaN in sample {sample}$"):
        list(Feeds(x, Sampling((IMAGE,))))
    with pytest.raises(ValueError, match=f"input 'image': NaN in sample {sample}$"):
        list(Feeds(list(x), Sampling((IMAGE,))))
