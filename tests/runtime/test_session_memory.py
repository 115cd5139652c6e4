"""What making a session leaves behind: no graph, and the garbage collector as it was."""

import gc

import onnx_ir as ir
import pytest
import qkern
from small_cnn import small_cnn


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def collecting(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def graphs():
    return sum(isinstance(each, ir.Graph) for each in gc.get_objects())


def test_the_collector_is_left_as_it_was(collecting):
    qkern.Session(small_cnn())
    assert gc.isenabled() == collecting
    with pytest.raises(ValueError, match="not an ONNX model"):
        qkern.Session(b"no model")
    assert gc.isenabled() == collecting


def test_the_graph_is_gone_with_the_weights_that_it_held():
    gc.collect()
    before = graphs()
    session = qkern.Session(small_cnn())
    assert graphs() == before
    assert session.steps
