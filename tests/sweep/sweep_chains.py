"""Cases that need more than one node, or inputs other than numbers: sequences, optionals, text; random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from sweep_cases import CASES, Case, M, case, f32, i64, schemas, vary


@dataclass(frozen=True, eq=False)
class Chain(Case):
    """A graph in ONNX's text form, which says what it feeds; `op_type` is the operator that it is about."""

    text: str = ""

    @property
    def label(self) -> str:
        return f"{self.op_type}: {self.text}"

    def model(self, opset: int) -> onnx.ModelProto:
        model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> graph {self.text}')
        for number, node in enumerate(model.graph.node):
            node.name = f"node{number}"
        return model

    def versions(self) -> list[int]:
        low, high = self.opsets or (0, 10**6)
        first = {max(schema.since_version, 13) for schema in schemas(self.op_type)}
        return sorted(version for version in first if low <= version <= high)

    def feeds(self) -> dict[str, Any]:
        return dict(zip("abc", self.inputs, strict=False))


def chain(op_type: str, text: str, *inputs: Any, opsets: tuple[int, int] | None = None) -> None:
    CASES.append(Chain(op_type, inputs, opsets=opsets, text=text))


A, B, N = f32(2, 3), f32(2, 3), np.array(1)
TWO = "(float[2, 3] a, float[2, 3] b) => "
for op, result, call in (
    ("SequenceConstruct", "float[L, 3] y", "y = ConcatFromSequence<axis=0>(s)"),
    ("ConcatFromSequence", "float[L, K] y", "y = ConcatFromSequence<axis=1>(s)"),
    ("ConcatFromSequence", "float[2, K, 3] y", "y = ConcatFromSequence<axis=1, new_axis=1>(s)"),
    ("SequenceAt", "float[2, 3] y", "n = Constant<value_int=1>() y = SequenceAt(s, n)"),
    ("SequenceAt", "float[2, 3] y", "n = Constant<value_int=-2>() y = SequenceAt(s, n)"),
    ("SequenceLength", "int64 y", "y = SequenceLength(s)"),
    ("SequenceErase", "int64 y", "e = SequenceErase(s) y = SequenceLength(e)"),
    (
        "SequenceErase",
        "float[L, 3] y",
        "n = Constant<value_int=0>() e = SequenceErase(s, n) y = ConcatFromSequence<axis=0>(e)",
    ),
    ("SequenceInsert", "float[L, 3] y", "e = SequenceInsert(s, a) y = ConcatFromSequence<axis=0>(e)"),
    (
        "SequenceInsert",
        "float[L, 3] y",
        "n = Constant<value_int=0>() e = SequenceInsert(s, b, n) y = ConcatFromSequence<axis=0>(e)",
    ),
):
    chain(op, f"{TWO}({result}) {{ s = SequenceConstruct(a, b) {call} }}", A, B)
for attribute in ("", "<dtype=7>"):
    chain("SequenceEmpty", f"() => (int64 y) {{ s = SequenceEmpty{attribute}() y = SequenceLength(s) }}")
for how, given in (("<axis=1>", ""), ("<axis=1, keepdims=0>", ""), ("", ", b"), ("<axis=1>", ", b")):
    sizes = ", int64[2] b" if given else ""
    feeds = [f32(4, 4), i64(1, 3)] if given else [f32(4, 4)]
    chain(
        "SplitToSequence",
        f"(float[4, 4] a{sizes}) => (float[K, L] y) {{ s = SplitToSequence{how}(a{given}) "
        "n = Constant<value_int=1>() e = SequenceAt(s, n) z = Constant<value_ints=[-1, 1]>() y = Reshape(e, z) }",
        *feeds,
    )
chain(
    "SplitToSequence",
    "(float[4, 4] a) => (float[K, L] y) { b = Constant<value_int=2>() s = SplitToSequence<axis=1>(a, b) "
    "n = Constant<value_int=1>() y = SequenceAt(s, n) }",
    f32(4, 4),
)
chain(
    "SequenceMap",
    f"{TWO}(float[L, 3] y) {{ s = SequenceConstruct(a, b) "
    "t = SequenceMap<body = g (float[2, 3] e) => (float[2, 3] f) { f = Neg(e) }>(s) "
    "y = ConcatFromSequence<axis=0>(t) }",
    A,
    B,
    opsets=(17, 99),
)
for op, call in (("OptionalGetElement", "y = OptionalGetElement(o)"), ("Optional", "y = OptionalGetElement(o)")):
    chain(op, f"(float[2, 3] a) => (float[2, 3] y) {{ o = Optional(a) {call} }}", A)
chain("OptionalHasElement", "(float[2, 3] a) => (bool y) { o = Optional(a) y = OptionalHasElement(o) }", A)
for condition in (True, False):
    chain(
        "If",
        "(bool a, float[3] b) => (float[3] y) { y = If (a) <then_branch = t () => (float[3] d) { d = Relu(b) }, "
        "else_branch = e () => (float[3] f) { f = Neg(b) }> }",
        np.array(condition),
        f32(3),
    )

WORDS = np.array([["Monday", "tuesday"], ["a b c", " x  y"]], object)
TEXT = "(string[2, 2] a) => "
chain(
    "StringConcat",
    "(string[2, 2] a, string[2] b) => (string[2, 2] y) { y = StringConcat(a, b) }",
    WORDS,
    WORDS[0],
    opsets=(20, 99),
)
for how in ("", '<delimiter=" ">', '<delimiter="a", maxsplit=1>'):
    chain(
        "StringSplit",
        f"{TEXT}(string[2, 2, K] y, int64[2, 2] z) {{ y, z = StringSplit{how}(a) }}",
        WORDS,
        opsets=(20, 99),
    )
chain("RegexFullMatch", f'{TEXT}(bool[2, 2] y) {{ y = RegexFullMatch<pattern="[a-z ]+">(a) }}', WORDS, opsets=(20, 99))
for how in (
    "",
    '<case_change_action="UPPER">',
    '<is_case_sensitive=1, stopwords=["Monday"]>',
    '<is_case_sensitive=0, stopwords=["MONDAY"]>',
    '<case_change_action="LOWER", locale="en_US">',
):
    chain(
        "StringNormalizer",
        f"(string[3] a) => (string[K] y) {{ y = StringNormalizer{how}(a) }}",
        np.array(["Monday", "x", "Y"], object),
    )
grams = {
    "ngram_counts": [0, 4],
    "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
    "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
    "max_gram_length": 2,
    "min_gram_length": 1,
    "max_skip_count": 0,
}
tokens = np.array([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8], np.int32)
for mode in ("TF", "IDF", "TFIDF"):
    case("TfIdfVectorizer", tokens, mode=mode, **grams)
case("TfIdfVectorizer", tokens, mode="TF", **{**grams, "max_skip_count": 5, "min_gram_length": 2})
case("TfIdfVectorizer", tokens, mode="IDF", weights=[float(number) for number in range(7)], **grams)

words = {name: value for name, value in grams.items() if name != "pool_int64s"}
pool = ["c", "d", "f", "e", "f", "g", "h", "i", "g", "h"]
case("TfIdfVectorizer", np.array(list("bbdddhighfgi"), object), mode="TF", pool_strings=pool, **words)

vary("Bernoulli", [np.abs(M) % 1], dtype=[7], seed=[1.0])
vary("Multinomial", [M[0]], sample_size=[3], dtype=[7], seed=[1.0])
for op, low, high in (("RandomNormal", "mean", "scale"), ("RandomUniform", "low", "high")):
    vary(op, [], {"shape": [2, 3]}, dtype=[11], seed=[1.0], **{low: [0.5], high: [2.0]})
    vary(f"{op}Like", [M], dtype=[11], seed=[1.0], **{low: [0.5], high: [2.0]})
width = f32(2, 3, 4, 8)
vary(
    "LinearAttention",
    [f32(2, 4, 24), f32(2, 4, 24), f32(2, 4, 24)],
    {"q_num_heads": 3, "kv_num_heads": 3, "update_rule": "linear"},
    2,
    scale=[0.5],
    chunk_size=[2],
)
vary("CausalConvWithState", [f32(2, 4, 6), f32(4, 1, 3)], {}, 2, activation=["silu"])
case("CausalConvWithState", f32(2, 4, 6), f32(4, 1, 3), f32(4), f32(2, 4, 2), outputs=2)
case("Constant", value_string="text")
case("Constant", value_strings=["a", "b"])
