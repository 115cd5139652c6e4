"""The command line as a process of its own: signals, and what reaches stderr."""

import os

import numpy as np
import onnx
import pytest
from onnx_text import graph
from small_cnn import small_cnn

MODULES = ("click", "rich.console", "qkern.report.compare", "qkern.calibration", "onnx", "onnx_ir", "onnxscript")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("hidden", [False, True])
def test_an_interrupt_during_imports_is_one_line_and_130(module, hidden, tmp_path, python):
    onnx.save(small_cnn(), tmp_path / "model.onnx")
    run = python(f"""
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it from the start
        import qkern

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == {module!r}:
                    sys.meta_path.remove(self)
                    try:
                        os.kill(os.getpid(), signal.SIGINT)
                        signal.sigtimedwait([], 0.5)
                    except KeyboardInterrupt as error:
                        if {hidden}:  # as where a class body was interrupted
                            raise ImportError("something else") from error
                        raise

        sys.meta_path.insert(0, Finder())
        from qkern.cli import main
        sys.exit(main(["explain", {str(tmp_path / "model.onnx")!r}]))
    """)
    assert (run.returncode, run.stderr, run.stdout) == (130, "qkern: interrupted\n", "")


def plain(text, opset=17, **arrays):
    return graph(text, opset=opset, **arrays)


def odd_names():
    """Nodes without names, values called as files or options are, an initializer that is an output too."""
    proto = graph(
        "(float[N, 4] x) => (float[N, 4] y, float[4] w) { a = Mul(x, w) b = Add(a, w) y = Relu(b) }",
        w=np.ones(4, np.float32),
    )
    for old, new in (("a", "../a b"), ("b", "--c\u00e9"), ("x", "/x:0")):
        for node in proto.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
    proto.graph.input[0].name = "/x:0"
    for node in proto.graph.node:
        node.name = ""
    return proto


ONE, X = np.float32(1), "(float[N, 4] x) => (float[N, 4] y)"
NETWORKS = {
    "old": lambda: plain(
        f"{X} {{ a = Clip<min=-1.0, max=1.0>(x) b = Softmax<axis=1>(a) y = Dropout<ratio=0.5>(b) }}", 9
    ),
    "float": lambda: plain(f"{X} {{ a = MatMul(x, w) y = Relu(a) }}", w=np.eye(4, dtype=np.float32)),
    "odd": odd_names,
    "nan": lambda: plain(f"{X} {{ a = Log(x) b = Div(a, x) c = Exp(b) d = Sqrt(c) e = Reciprocal(d) y = Pow(e, a) }}"),
    "nan_constant": lambda: plain(f"{X} {{ a = Log(c) b = Div(c, z) d = Mul(a, b) y = Add(x, d) }}", c=-ONE, z=0 * ONE),
    "huge": lambda: plain(f"{X} {{ a = Mul(x, c) b = Mul(a, a) d = Sub(b, b) y = Sigmoid(d) }}", c=np.float32(1e30)),
    "gelu": lambda: plain(f"{X} {{ a = Erf(x) b = Softplus(a) c = HardSigmoid(b) d = Tanh(c) y = Elu(d) }}"),
}
WRONG = (
    "quantize no.onnx --data x.npy -o q.onnx",
    "run cut.onnx --data x.npy",
    "explain folder",
    "run float.onnx --data no.npy",
)


def test_nothing_but_errors_reaches_stderr_and_an_error_is_one_line(tmp_path, python):
    for name, make in NETWORKS.items():
        onnx.save(make(), tmp_path / f"{name}.onnx")
    whole = (tmp_path / "float.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder").mkdir()
    onnx.save(
        NETWORKS["float"](), tmp_path / "apart.onnx", save_as_external_data=True, location="apart.bin", size_threshold=0
    )
    np.save(tmp_path / "x.npy", np.float32([[0, -1, 2, 1e-30], [5, 1e30, -3, 0], [1, 2, 3, 4], [-1, -1, -1, -1]]))
    commands = [f"explain {name}.onnx" for name in (*NETWORKS, "apart")]
    commands += [f"run {name}.onnx --data x.npy --fallback reference" for name in NETWORKS]
    for name in (*NETWORKS, "apart"):
        commands += [f"run {name}.onnx --data x.npy", f"quantize {name}.onnx --data x.npy -o {name}.int8.onnx"]
        commands += [f"run {name}.int8.onnx --data x.npy", f"compare {name}.onnx {name}.int8.onnx --data x.npy"]
    run = python(f"""
        import math, os, sys
        os.chdir({str(tmp_path)!r})
        from qkern.cli import main, progress
        progress._SECONDS_BETWEEN_LINES = math.inf
        for command in {[*commands, *WRONG]!r}:
            print("$", command, file=sys.stderr, flush=True)
            print("=", main(command.split()), file=sys.stderr, flush=True)
    """)
    assert run.returncode == 0, run.stderr
    for said in run.stderr.split("$ ")[1:]:
        command, *lines, code = said.splitlines()
        fails = command in WRONG or any(name in command for name in ("nan", "huge"))  # NaN is no range
        assert code in (("= 0", "= 2") if fails else ("= 0",)), said
        assert len(lines) == (code == "= 2"), said
        assert all(line.startswith("qkern: ") for line in lines), said
        assert command not in WRONG or lines, said
