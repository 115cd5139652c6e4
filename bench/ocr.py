"""What int8 costs a text reader that people use: PP-OCRv4's detector, recognizer and direction classifier.

    python bench/ocr.py FOLDER [--effort fast|balanced|best] [--models rec,cls,det]

FOLDER holds the three ONNX files of the package rapidocr-onnxruntime 1.4.4 (`pip download --no-deps`, unzipped). 16
lines and pages of rendered text calibrate, 16 others are read in float32 by ONNX Runtime and by qkern, and in int8.
Prints the largest difference of the float outputs over the largest number, the time that quantizing takes, and
    rec   characters read as float32 reads them (the matching blocks of the two texts)
    cls   lines with the same direction
    det   intersection over union of the masks above 0.3
"""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import qkern
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FILES = {
    "rec": "ch_PP-OCRv4_rec_infer.onnx",
    "cls": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "det": "ch_PP-OCRv4_det_infer.onnx",
}
COUNT = 16
TEXT = """the quick brown fox jumps over lazy dog invoice total amount due 2024 March payment number street city
quantized networks run on ordinary processors with eight bits Reference A-4711 price 19.99 EUR Berlin Hamburg Munich
please send before Friday 12:30 thank you for your order"""

Floats = NDArray[np.float32]


class Printer:
    """Renders random words; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def _color(self, low: int, high: int) -> tuple[int, ...]:
        return tuple(int(value) for value in self._rng.integers(low, high, 3))

    def _text(self, most: int) -> str:
        return " ".join(self._rng.choice(TEXT.split(), int(self._rng.integers(2, most))))

    def line(self) -> Image.Image:
        """Dark words on light paper, one line."""
        size, ink, paper = int(self._rng.integers(20, 44)), self._color(0, 110), self._color(180, 256)
        font, text = ImageFont.load_default(size), self._text(6)
        image = Image.new("RGB", (int(font.getlength(text)) + 16, int(size * 1.5)), paper)
        ImageDraw.Draw(image).text((8, int(size * 0.15)), text, fill=ink, font=font)
        return image

    def page(self) -> Image.Image:
        """640 x 640 pixels of lines of different sizes and colors."""
        image = Image.new("RGB", (640, 640), self._color(200, 256))
        y = 20
        while y < 600:
            size = int(self._rng.integers(16, 34))
            where = (int(self._rng.integers(10, 60)), y)
            ImageDraw.Draw(image).text(
                where, self._text(5), fill=self._color(0, 110), font=ImageFont.load_default(size)
            )
            y += int(size * 1.9)
        return image


def pixels(image: Image.Image) -> Floats:
    """[1, 3, height, width] in -1..1."""
    return ((np.asarray(image, np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)[np.newaxis]


def fitted(image: Image.Image, height: int, width: int) -> Floats:
    """Scaled to `height`, and filled up with 0 to `width`."""
    own = min(width, -(-image.width * height // image.height))
    result = np.zeros((1, 3, height, width), np.float32)
    result[..., :own] = pixels(image.resize((own, height), Image.Resampling.BILINEAR))
    return result


def inputs(kind: str, printer: Printer) -> list[Floats]:
    """`COUNT` inputs of a model: lines of any width, lines of which every other stands on its head, pages."""
    if kind == "det":
        return [pixels(printer.page()) for _ in range(COUNT)]
    lines = [printer.line() for _ in range(COUNT)]
    if kind == "cls":
        return [fitted(line.rotate(180) if i % 2 else line, 48, 192) for i, line in enumerate(lines)]
    return [fitted(line, 48, max(320, -(-line.width * 48 // line.height // 8) * 8)) for line in lines]


def text_of(scores: Floats) -> list[int]:
    """Characters of a line: the best at each place, without repetitions and blanks (0)."""
    best = scores.argmax(axis=-1)[0].tolist()
    return [each for i, each in enumerate(best) if each and (i == 0 or best[i - 1] != each)]


def read_alike(expected: list[Floats], got: list[Floats]) -> str:
    pairs = [(text_of(a), text_of(b)) for a, b in zip(expected, got, strict=True)]
    blocks = [difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks() for a, b in pairs]
    same, total = sum(block.size for each in blocks for block in each), sum(len(a) for a, _ in pairs)
    return f"{same} of {total} characters, {same / total:.2%}"


def same_direction(expected: list[Floats], got: list[Floats]) -> str:
    same = sum(bool((a.argmax(1) == b.argmax(1)).all()) for a, b in zip(expected, got, strict=True))
    return f"{same} of {len(expected)} lines"


def overlap(expected: list[Floats], got: list[Floats]) -> str:
    masks = [(a > 0.3, b > 0.3) for a, b in zip(expected, got, strict=True)]
    each = [(a & b).sum() / (a | b).sum() for a, b in masks]
    whole = sum((a & b).sum() for a, b in masks) / sum((a | b).sum() for a, b in masks)
    return f"IoU {whole:.3f}, of the worst page {min(each):.3f}"


JUDGES: dict[str, Callable[[list[Floats], list[Floats]], str]] = {
    "rec": read_alike,
    "cls": same_direction,
    "det": overlap,
}


def timed(session: Any, feeds: list[Floats]) -> tuple[list[Floats], float]:
    """Outputs, and milliseconds of each."""
    name = session.get_inputs()[0].name
    start = time.perf_counter()
    results = [session.run(None, {name: feed})[0] for feed in feeds]
    return results, (time.perf_counter() - start) * 1e3 / len(feeds)


def main() -> None:
    parser = argparse.ArgumentParser(description="What int8 costs PP-OCRv4.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--effort", choices=("fast", "balanced", "best"), default="fast")
    parser.add_argument("--models", default=",".join(FILES))
    options = parser.parse_args()
    for number, kind in enumerate(options.models.split(",")):
        path, printer = options.folder / FILES[kind], Printer(number)
        calibration, test = inputs(kind, printer), inputs(kind, printer)
        quiet = onnxruntime.SessionOptions()
        quiet.log_severity_level = 3
        quiet.intra_op_num_threads = qkern.get_num_threads()
        peer = onnxruntime.InferenceSession(str(path), quiet, providers=["CPUExecutionProvider"])
        session = qkern.Session(path)
        expected, peer_time = timed(peer, test)
        floats, float_time = timed(session, test)
        worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, floats, strict=True))
        start = time.perf_counter()
        quantized = qkern.quantize_model(path, calibration, "x86", effort=options.effort)
        seconds = time.perf_counter() - start
        codes, int8_time = timed(quantized.session(), test)
        kinds = [step.kind for step in session.steps]
        foreign = f"{kinds.count('onnxruntime')} of {len(kinds)} steps ONNX Runtime's"
        print(f"{kind}: float32 off by {worst:.1e}, {foreign}")
        layers = f"{len(quantized.report.quantized)} layers int8, {len(quantized.report.left_float)} float"
        print(f"  {options.effort} in {seconds:.1f} s: {layers}; {JUDGES[kind](floats, codes)}")
        print(f"  ms: {peer_time:.1f} ONNX Runtime float32, {float_time:.1f} float32, {int8_time:.1f} int8")
        for warning in quantized.report.warnings:
            print(f"  {warning}")


if __name__ == "__main__":
    main()
