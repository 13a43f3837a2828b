"""What TensorRT takes of ONNX: operators, the types of their data, and the limits that a network meets.

Read off the operator tables of TensorRT's ONNX parser for 10.1 and 10.15, and for uint8 off the notes in the Python
bindings of 10.3, 10.16 and 11.4. Listed is what both tables have, so what 10.3 (JetPack 6) takes, and later releases
still do; what only the later one has (Attention, STFT, integer Pow) is left out. Names of types are those of ONNX.
"""

from __future__ import annotations

RELEASES = "10.3 to 11"
"""Of TensorRT, for which this holds."""
OPSETS = range(9, 21)
"""Versions of ONNX's own operators that the oldest of them reads."""

HALVES = frozenset({"FLOAT", "FLOAT16"})
FLOATS = HALVES | {"BFLOAT16"}
NUMBERS = FLOATS | {"INT32", "INT64"}
VALUES = NUMBERS | {"BOOL"}

_ROWS: dict[frozenset[str], str] = {
    frozenset({"BOOL"}): "And Not Or Xor",
    frozenset({"INT8"}): "DequantizeLinear",
    HALVES: "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
    FLOATS: """
        Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos Cosh
        CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
        GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf LRN LSTM LayerNormalization
        LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu Pow
        QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize Round Scan
        Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Upsample""",
    NUMBERS: """
        Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min
        Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
        ReduceSum ReduceSumSquare Relu ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK""",
    VALUES: """
        Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot
        Reshape ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
    VALUES | {"UINT8"}: "Cast CastLike",
}
OPERATORS: dict[str, frozenset[str]] = {name: types for types, names in _ROWS.items() for name in names.split()}
"""Operator -> the types that its data may have. Its other inputs (indices, shapes, conditions) are as ONNX has them."""

CONSTANT: dict[str, int] = {
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), 1),
    **{"CumSum": 1, "OneHot": 1, "Pad": 3, "Slice": 3, "Squeeze": 1, "Unsqueeze": 1},
}
"""Operator -> place of the input that has to be constant when the engine is built: its axes, or a depth."""

ATTRIBUTES: dict[str, dict[str, tuple[object, ...]]] = {
    "LSTM": {"input_forget": (0,), "layout": (0,)},
    "Pad": {"mode": ("constant", "edge", "reflect", "wrap")},
    "Resize": {
        "mode": ("nearest", "linear"),
        "coordinate_transformation_mode": (
            *("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
        ),
        "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
        "antialias": (0,),
        "keep_aspect_ratio_policy": ("stretch",),
    },
    "ScatterND": {"reduction": ("none",)},
    "TopK": {"sorted": (1,)},
}
"""Operator -> attribute -> the values that it may have, its absence aside."""

DILATED = frozenset({"AveragePool", "LpPool", "MaxPool"})
"""Pooling without gaps alone."""
FIRST_OUTPUT = frozenset({"LayerNormalization", "MaxPool"})
"""Operators of which nothing but the first output can be used."""

PIXELS = "UINT8"
"""The type of pixels: of the graph's inputs, which only Cast may read, and of its outputs, which only Cast may write;
in between it is FLOAT or FLOAT16. No other operator takes it, not even those that move data or ask for a shape."""
QUANTISED = "INT8"
"""The type that lies between QuantizeLinear, or a constant, and DequantizeLinear, and nowhere else."""
