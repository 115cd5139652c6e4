from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.model_file import load_model, save_model


@pytest.fixture
def proto() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,40] x) => (float[N,50] y) { m = MatMul(x, w) y = Relu(m) }'
    )
    weight = np.arange(2000, dtype=np.float32).reshape(40, 50)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return proto


@pytest.fixture
def path(proto, tmp_path) -> Path:
    onnx.save(proto, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


class TestLoad:
    def test_every_source(self, proto, path):
        for source in (path, str(path), path.read_bytes(), proto):
            model = load_model(source)
            assert ops(model) == ["MatMul", "Relu"]
            assert model.graph.initializers["w"].const_value.numpy()[39, 49] == 1999
        copy = load_model(model)
        assert copy is not model
        assert copy.graph.initializers["w"].const_value is model.graph.initializers["w"].const_value

    def test_external_data(self, proto, tmp_path, monkeypatch):
        (tmp_path / "sub").mkdir()
        onnx.save(proto, tmp_path / "sub/m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        monkeypatch.chdir(tmp_path)
        model = load_model("sub/m.onnx")
        monkeypatch.chdir("/")
        assert model.graph.initializers["w"].const_value.numpy()[39, 49] == 1999

    def test_external_data_missing(self, proto, tmp_path):
        onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        (tmp_path / "w.bin").unlink()
        with pytest.raises(FileNotFoundError, match=r"m\.onnx.*'w'.*w\.bin"):
            load_model(tmp_path / "m.onnx")

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
            load_model(tmp_path / "absent.onnx")

    def test_a_folder(self, tmp_path):
        with pytest.raises(OSError, match=tmp_path.name):
            load_model(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"\x00" * 40, b"<html></html>", b"PK\x03\x04 a zip", b"\x89PNG\r\n"])
    def test_not_onnx(self, tmp_path, data):
        (tmp_path / "other.onnx").write_bytes(data)
        with pytest.raises(ValueError, match=r"other\.onnx: not an ONNX model"):
            load_model(tmp_path / "other.onnx")
        with pytest.raises(ValueError, match=f"{len(data)} bytes: not an ONNX model"):
            load_model(data)

    def test_every_truncation(self, path):
        data = path.read_bytes()
        for length in [*range(60), *range(60, len(data) - 60, 97), *range(len(data) - 60, len(data))]:
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match=r"model\.onnx"):
                load_model(path)

    def test_a_dangling_input(self, proto):
        proto.graph.node[1].input[0] = "nowhere"
        proto.graph.node[1].name = "act"
        with pytest.raises(ValueError, match=r"node 'act' \(Relu\) reads 'nowhere'"):
            load_model(proto)

    def test_a_dangling_output(self, proto):
        proto.graph.output[0].name = "nowhere"
        with pytest.raises(ValueError, match="output 'nowhere'"):
            load_model(proto)

    def test_optional_inputs_and_subgraphs_are_no_dangling_ones(self):
        proto = onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17]> g (float[2] x, bool cond) => (float[2] y) {
                c = Clip(x, , x)
                y = If(cond) <then_branch = t () => (float[2] a) { a = Neg(c) },
                              else_branch = e () => (float[2] b) { b = Abs(x) }>
            }"""
        )
        assert ops(load_model(proto)) == ["Clip", "If"]

    @pytest.mark.parametrize("source", [None, 3, ["m.onnx"]])
    def test_another_type(self, source):
        with pytest.raises(TypeError, match=type(source).__name__):
            load_model(source)


class TestSave:
    def test_round_trip(self, proto, tmp_path):
        save_model(load_model(proto), tmp_path / "out.onnx")
        assert onnx.load(tmp_path / "out.onnx").graph == ir.to_proto(load_model(proto)).graph
        assert os.listdir(tmp_path) == ["out.onnx"]

    def test_permissions_are_those_of_a_new_file(self, proto, tmp_path):
        save_model(load_model(proto), tmp_path / "out.onnx")
        (tmp_path / "plain").touch()
        assert stat.S_IMODE(os.stat(tmp_path / "out.onnx").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)

    def test_over_the_file_it_came_from(self, proto, tmp_path):
        onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        model = load_model(tmp_path / "m.onnx")
        save_model(model, tmp_path / "m.onnx")
        (tmp_path / "w.bin").unlink()
        assert load_model(tmp_path / "m.onnx").graph.initializers["w"].const_value.numpy()[39, 49] == 1999

    def test_a_link_stays_a_link(self, proto, tmp_path):
        (tmp_path / "link.onnx").symlink_to(tmp_path / "real.onnx")
        save_model(load_model(proto), tmp_path / "link.onnx")
        assert (tmp_path / "link.onnx").is_symlink()
        assert load_model(tmp_path / "real.onnx")

    @pytest.mark.parametrize("name", ["absent/out.onnx", "file/out.onnx", "folder"])
    def test_where_nothing_can_be_written(self, proto, tmp_path, name):
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        with pytest.raises(OSError, match=name):
            save_model(load_model(proto), tmp_path / name)
        assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
        assert os.listdir(tmp_path / "folder") == []

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_a_failure_leaves_the_old_file(self, proto, path, monkeypatch, call):
        before = path.read_bytes()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, call, full)
        with pytest.raises(OSError, match=r"No space left on device.*model\.onnx"):
            save_model(load_model(proto), path)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == ["model.onnx"]

    def test_an_interrupt_leaves_the_old_file(self, proto, path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_model(load_model(proto), path)
        assert os.listdir(path.parent) == ["model.onnx"]

    def test_a_model_that_is_too_large(self, proto, path, monkeypatch):
        def too_large(_):
            raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB")

        monkeypatch.setattr(ir, "to_proto", too_large)
        with pytest.raises(ValueError, match=r"model\.onnx.*2GB"):
            save_model(load_model(path), path)
        assert os.listdir(path.parent) == ["model.onnx"]
