"""Fingerprints that tell whether a table belongs to a model and to data.

That of data is the sum, modulo 2^128, of its samples' hashes: like the observers it merges, and neither order nor
batches show in it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .sampling import Feed, Sampling

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["MODULUS", "fingerprint_of_model", "fingerprint_of_samples"]

MODULUS = 1 << 128


def fingerprint_of_model(model: ir.Model) -> str:
    """Of inputs, outputs, nodes and weights; names of nodes and shapes of what lies between don't count."""
    import onnx_ir as ir

    graph, digest = model.graph, hashlib.blake2b(digest_size=16)
    for value in (*graph.inputs, *graph.outputs):
        digest.update(repr((value.name, str(value.dtype), str(value.shape))).encode())
    for name, domain_version in sorted(model.opset_imports.items()):
        digest.update(repr((name, domain_version)).encode())
    for node in graph:
        proto = ir.to_proto(node)
        proto.ClearField("name")
        proto.ClearField("doc_string")
        proto.ClearField("metadata_props")
        digest.update(proto.SerializeToString(deterministic=True))
    for name in sorted(graph.initializers):
        tensor = graph.initializers[name].const_value
        if tensor is not None:
            digest.update(repr((name, str(tensor.dtype), str(tensor.shape))).encode())
            is_text = tensor.dtype == ir.DataType.STRING
            digest.update(repr(tensor.numpy().tolist()).encode() if is_text else tensor.tobytes())
    return digest.hexdigest()


def fingerprint_of_samples(feed: Feed, sampling: Sampling) -> int:
    """Of the samples in one run."""
    if not sampling.by_rows:
        return _of_sample(feed)
    rows = (sampling.part(feed, i, i + 1) for i in range(sampling.count(feed)))
    return sum(map(_of_sample, rows)) % MODULUS


def _of_sample(arrays: dict[str, NDArray[Any]]) -> int:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in arrays.items():
        digest.update(repr((name, array.dtype.name, array.shape)).encode())
        digest.update(repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes())
    return int.from_bytes(digest.digest(), "little")
