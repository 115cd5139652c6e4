"""The file of `quantize --report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from .progress import progress

if TYPE_CHECKING:
    from ..pipeline import QuantizedModel
    from ..runtime.foreign_nodes import Fallback

__all__ = ["report_of"]


def report_of(
    quantized: QuantizedModel,
    model: Path,
    output: Path,
    data: Path | None,
    path: Path,
    exclude: tuple[str, ...],
    samples: str | None,
    threads: int | None,
    fallback: Fallback,
    external_data: Path | None,
    console: Console,
) -> bytes:
    """The report as the ending of `path` says: .json, else HTML. With data, errors per layer and latencies too; how far
    these are is shown on `console`."""
    from ..report import analyze
    from ..report import compare as compare_models
    from ..report.document import describe_quantization
    from ..report.page import render_html
    from ..report.weight_ranges import weight_ranges

    analysis = comparison = None
    if data is not None:
        method = None if quantized.method == "moving_average_minmax" else quantized.method
        with progress("report: errors per layer", console) as show:
            analysis = analyze(
                *(model, data, quantized.target, method, exclude),
                sampling=samples,
                num_threads=threads,
                fallback=fallback,
                external_data=external_data,
                progress=show,
            )
        comparison = compare_models(
            *(model, output, data),
            samples=samples,
            num_threads=threads,
            fallback=fallback,
            external_data=external_data,
        )
    assert quantized.float_model is not None
    assert quantized.corrected_model is not None
    described = describe_quantization(
        quantized.report,
        quantized.table,
        quantized.target.activation,
        method=quantized.method,
        equalized=quantized.equalized,
        weights=weight_ranges(quantized.float_model, quantized.corrected_model, quantized.excluded),
        budget=quantized.budget,
        analysis=analysis,
        comparison=comparison,
    )
    if path.suffix == ".json":
        return (json.dumps(described, indent=2, allow_nan=False) + "\n").encode()
    return render_html(described, f"{model.name} in int8").encode()
