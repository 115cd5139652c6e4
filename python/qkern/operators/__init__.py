"""ONNX operators that qkern has kernels for: how each is quantized and lowered. One file per operator.

registry.py, activation.py, window.py, weights.py, pools.py, unary.py, mover.py, elementwise.py, interpolation.py and
pointwise.py are what several of them have in common.
"""

from __future__ import annotations

from .activation import activation_bounds, activation_of
from .add import Add
from .average_pool import AveragePool
from .batch_normalization import BatchNormalization
from .cast import Cast
from .clip import Clip
from .concat import Concat
from .conv import Conv
from .conv_transpose import ConvTranspose
from .depth_to_space import DepthToSpace
from .div import Div
from .elu import Elu
from .erf import Erf
from .expand import Expand
from .flatten import Flatten
from .gather import Gather
from .gelu import Gelu
from .gemm import Gemm
from .global_average_pool import GlobalAveragePool
from .global_lp_pool import GlobalLpPool
from .global_max_pool import GlobalMaxPool
from .hard_sigmoid import HardSigmoid
from .hard_swish import HardSwish
from .identity import Identity
from .leaky_relu import LeakyRelu
from .lp_pool import LpPool
from .matmul import MatMul
from .max import Max
from .max_pool import MaxPool
from .min import Min
from .mul import Mul
from .operator import NodeQuantization, Operator, QOperator, Unsupported
from .pad import Pad
from .registry import get_operator, register
from .relu import Relu
from .reshape import Reshape
from .resize import Resize
from .sigmoid import Sigmoid
from .slice import Slice
from .softmax import Softmax
from .softplus import Softplus
from .split import Split
from .squeeze import Squeeze
from .sub import Sub
from .tanh import Tanh
from .tile import Tile
from .transpose import Transpose
from .unsqueeze import Unsqueeze

__all__ = [
    "OPERATORS",
    "NodeQuantization",
    "Operator",
    "QOperator",
    "Unsupported",
    "activation_bounds",
    "activation_of",
    "get_operator",
]

OPERATORS: tuple[Operator, ...] = (
    Add(),
    AveragePool(),
    BatchNormalization(),
    Cast(),
    Clip(),
    Concat(),
    Conv(),
    ConvTranspose(),
    DepthToSpace(),
    Div(),
    Elu(),
    Erf(),
    Expand(),
    Flatten(),
    Gather(),
    Gelu(),
    Gemm(),
    GlobalAveragePool(),
    GlobalLpPool(),
    GlobalMaxPool(),
    HardSigmoid(),
    HardSwish(),
    Identity(),
    LeakyRelu(),
    LpPool(),
    MatMul(),
    Max(),
    MaxPool(),
    Min(),
    Mul(),
    Pad(),
    Relu(),
    Reshape(),
    Resize(),
    Sigmoid(),
    Slice(),
    Softmax(),
    Softplus(),
    Split(),
    Squeeze(),
    Sub(),
    Tanh(),
    Tile(),
    Transpose(),
    Unsqueeze(),
)

register(OPERATORS)
