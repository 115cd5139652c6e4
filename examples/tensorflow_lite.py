"""Layers as TensorFlow Lite computes them, bit for bit.

python examples/tensorflow_lite.py [--images 500] [--picture tensorflow_lite.svg]

The first three convolutions of the network that qkern carries (3x3, depthwise 3x3 of stride 2, 1x1) are quantized by
TensorFlow Lite's rules (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec),
written to a .tflite file and run by LiteRT's reference kernels. qkern computes the same from exact sums, rounded in
TensorFlow Lite's fixed point; its own rounding (float32, half to even) gives another code now and then.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnx
import qkern
from onnx import numpy_helper
from qkern.demo import data

LAYERS = {"stem": 1, "block1.depthwise": 2, "block1.pointwise": 1}  # and their strides


class Layer:
    """A convolution of int8 codes, NHWC, with its batch normalization folded in; ReLU6 ends where the codes do."""

    def __init__(self, constants, name, x_scale, x_zero):
        w = constants[f"{name}.conv.weight"]
        gain, shift, mean, variance = (
            constants[f"{name}.norm.{each}"] for each in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + np.float32(1e-5))
        rows = qkern.asquantized(w * factor[:, None, None, None], axis=0)
        self.w, self.w_scale = rows.codes, rows.scale
        self.bias = np.rint((shift - mean * factor) / (x_scale * self.w_scale)).astype(np.int32)
        self.stride, self.padding = LAYERS[name], w.shape[2] // 2
        self.is_depthwise = name.endswith("depthwise")
        self.x_scale, self.x_zero = x_scale, x_zero
        self.y_scale, self.y_zero = np.float32(6 / 255), -128

    def __call__(self, x, rounding):
        groups = len(self.w) if self.is_depthwise else 1
        image = {"strides": self.stride, "padding": self.padding, "groups": groups, "layout": "NHWC"}
        sums = qkern.conv(x, self.w, x_zero_point=self.x_zero, **image)
        # TensorFlow Lite multiplies and divides the float32 scales in float64.
        multiplier = np.float64(self.x_scale) * self.w_scale.astype(np.float64) / np.float64(self.y_scale)
        return qkern.requantize(sums, multiplier, self.y_zero, bias=self.bias, rounding=rounding)


class File:
    """A .tflite file in the making, by the classes that LiteRT brings for it."""

    def __init__(self):
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.model = schema, schema.ModelT()
        empty = schema.BufferT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [empty], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, dtype, shape, scale=None, zero_point=0, values=None, axis=0):
        schema, made = self.schema, self.schema.TensorT()
        made.type, made.shape = getattr(schema.TensorType, dtype), list(shape)
        made.name, made.buffer = f"tensor{len(self.graph.tensors)}", 0
        if values is not None:
            made.buffer = len(self.model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(scale)
            made.quantization.zeroPoint = np.full(np.size(scale), zero_point, np.int64)
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, name, options_name, inputs, output, **options):
        schema, made, code = self.schema, self.schema.OperatorT(), self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 3  # the first with scales per channel
        self.model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
        made.builtinOptions = getattr(schema, f"{options_name}T")()
        vars(made.builtinOptions).update(options)
        self.graph.operators.append(made)

    def layer(self, x, shape, layer):
        """Adds one; returns its output and that one's shape."""
        batch, high, wide, _ = shape
        if p := layer.padding:
            pads = self.tensor("INT32", (4, 2), values=np.int32([[0, 0], [p, p], [p, p], [0, 0]]))
            high, wide = high + 2 * p, wide + 2 * p
            padded = self.tensor("INT8", (batch, high, wide, shape[3]), layer.x_scale, layer.x_zero)
            self.operator("PAD", "PadOptions", [x, pads], padded)
            x = padded
        w = layer.w.transpose(1, 2, 3, 0) if layer.is_depthwise else layer.w.transpose(0, 2, 3, 1)
        rows, columns = w.shape[1:3]
        shape = (batch, (high - rows) // layer.stride + 1, (wide - columns) // layer.stride + 1, len(layer.w))
        weights = self.tensor("INT8", w.shape, layer.w_scale, 0, w, axis=3 if layer.is_depthwise else 0)
        bias = self.tensor("INT32", layer.bias.shape, layer.x_scale * layer.w_scale, 0, layer.bias)
        y = self.tensor("INT8", shape, layer.y_scale, layer.y_zero)
        kind = "DepthwiseConv2D" if layer.is_depthwise else "Conv2D"
        options = {
            "padding": self.schema.Padding.VALID,
            "strideH": layer.stride,
            "strideW": layer.stride,
            "fusedActivationFunction": self.schema.ActivationFunctionType.RELU6,
        }
        if layer.is_depthwise:
            options["depthMultiplier"] = 1
        self.operator(
            "DEPTHWISE_CONV_2D" if layer.is_depthwise else "CONV_2D", f"{kind}Options", [x, weights, bias], y, **options
        )
        return y, shape

    def run(self, x, inputs, outputs):
        """The values of `outputs`, by LiteRT's reference kernels."""
        import flatbuffers
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        interpreter = Interpreter(
            model_content=bytes(builder.Output()), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def run(images=500, picture=None):
    """Per layer the share of codes that are TensorFlow Lite's: in its own rounding, and in float32."""
    constants = {each.name: numpy_helper.to_array(each) for each in onnx.load(data.model_path()).graph.initializer}
    pixels = data.load().test[:images].transpose(0, 2, 3, 1)
    x_scale, x_zero = np.float32((pixels.max() - pixels.min()) / 255), 0
    x_zero = int(np.rint(-128 - pixels.min() / x_scale))
    x = qkern.quantize(pixels, x_scale, x_zero, rounding="half_away")  # as TensorFlow Lite's Quantize

    layers, scale, zero = {}, x_scale, x_zero
    for name in LAYERS:
        layers[name] = Layer(constants, name, scale, zero)
        scale, zero = layers[name].y_scale, layers[name].y_zero

    file, shape = File(), x.shape
    read = y = file.tensor("INT8", shape, x_scale, x_zero)
    written = []
    for layer in layers.values():
        y, shape = file.layer(y, shape, layer)
        written.append(y)
    theirs = dict(zip(layers, file.run(x, [read], written), strict=True))

    result = {}
    for name, layer in layers.items():
        same = {each: float((layer(x, each) == theirs[name]).mean()) for each in ("gemmlowp", "half_even")}
        result[name] = same
        x = theirs[name]
    if picture is not None:
        draw(result, picture)
    return result


def draw(result, path):
    """Codes per million that are not TensorFlow Lite's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.add_subplot()
    at = np.arange(len(result))
    for i, (rounding, label) in enumerate(
        (("half_even", "float32, half to even"), ("gemmlowp", 'rounding="gemmlowp"'))
    ):
        missed = [1e6 * (1 - same[rounding]) for same in result.values()]
        bars = axes.barh(at + 0.38 * (i - 0.5), missed, 0.36, color=("#9db8d9", "#b3402a")[i], label=label)
        axes.bar_label(bars, [f"{value:,.0f}" for value in missed], padding=4)
    axes.set_yticks(at, result)
    axes.invert_yaxis()
    axes.set_xlabel("codes per million that differ from LiteRT's")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    for layer_name, same in run(arguments.images, arguments.picture).items():
        print(f"{layer_name:18} {same['gemmlowp']:8.4%} in its fixed point, {same['half_even']:8.4%} in float32")
