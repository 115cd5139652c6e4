"""Networks as they are exported."""

from __future__ import annotations


class TestRealModels:
    def test_outputs_stay(self, real_model, compare, ops):
        model, report = compare(real_model)
        assert not {"BatchNormalization", "Shape", "Gather", "ConstantOfShape", "Identity"} & set(ops(model))
        assert all(fused.into for fused in report)
        assert len(model.graph) == {"efficientnet_lite": 94}.get(real_model.graph.name, 54)
        assert all(value.shape is not None for node in model.graph for value in node.outputs)
