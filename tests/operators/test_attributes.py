"""Every attribute that ONNX gives an operator is one that its kernel knows, in every opset the runtime lowers."""

import onnx
import onnx_ir as ir
import pytest
from qkern.fusion.opset import MINIMUM_OPSET
from qkern.operators import OPERATORS, get_operator


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.op_type)
def test_the_kernel_knows_every_attribute(operator):
    found = set()
    for version in range(MINIMUM_OPSET, onnx.defs.onnx_opset_version() + 1):
        try:
            found.update(onnx.defs.get_schema(operator.op_type, version).attributes)
        except onnx.defs.SchemaError:  # the operator is younger
            continue
    assert found <= set(operator.attributes)


def test_a_node_with_another_attribute_is_not_for_the_kernel():
    relu = get_operator("Relu")
    assert relu is not None
    x = ir.Value(name="x")
    assert relu.obstacle(ir.Node("", "Relu", [x])) == ""
    node = ir.Node("", "Relu", [x], attributes=[ir.AttrFloat32("slope", 0.1)])
    assert relu.obstacle(node) == "its attribute 'slope' is not one that the kernel knows"
