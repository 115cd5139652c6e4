"""A low-pass FIR filter of audio as an int8 convolution.

python examples/fir_filter.py [--seconds 10] [--picture fir_filter.svg]
"""

from __future__ import annotations

import argparse

import numpy as np
import qkern

RATE, TAPS, CUTOFF = 16_000, 63, 2_000


def low_pass():
    """A windowed sinc; its taps add up to 1."""
    at = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(2 * CUTOFF / RATE * at) * np.hamming(TAPS)
    return (taps / taps.sum()).astype(np.float32)


def decibels(signal, other):
    return float(10 * np.log10((signal**2).sum() / ((signal - other) ** 2).sum()))


def run(seconds=10.0, picture=None):
    """SNR against the float64 filter, and how far a tone above the cutoff is pushed down, both in dB."""
    time = np.arange(int(RATE * seconds)) / RATE
    tone, hum = np.sin(2 * np.pi * 440 * time), 0.5 * np.sin(2 * np.pi * 5_000 * time)
    audio = (0.6 * (tone + hum)).astype(np.float32)

    samples, taps = qkern.asquantized(audio), qkern.asquantized(low_pass())
    sums = qkern.conv(samples.codes[None, None], taps.codes[None, None], padding=TAPS // 2)
    # Exact sums of products, with the scale of the product.
    filtered = np.asarray(qkern.QArray(sums[0, 0], samples.scale * taps.scale))

    exact = np.convolve(audio.astype(np.float64), low_pass(), "same")
    inside = slice(TAPS, -TAPS)

    def level(x):  # of the tone at 5 kHz
        return 2 * abs((x[inside] * np.exp(-2j * np.pi * 5_000 * time[inside])).mean())

    if picture is not None:
        draw({"audio": audio[inside], "filtered, int8": filtered[inside]}, picture)
    return {
        "snr_db": decibels(exact[inside], filtered[inside]),
        "attenuation_db": float(20 * np.log10(level(audio) / level(filtered))),
    }


def draw(signals, path):
    """Their spectra, in dB of a full sine."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for (name, x), color in zip(signals.items(), ("#9db8d9", "#b3402a"), strict=True):
        window = np.hanning(len(x))
        spectrum = 2 * np.abs(np.fft.rfft(x * window)) / window.sum()
        axes.plot(np.fft.rfftfreq(len(x), 1 / RATE), 20 * np.log10(spectrum + 1e-9), lw=0.8, color=color, label=name)
    axes.axvline(CUTOFF, color="#737373", lw=0.8, ls=":")
    axes.set(xlabel="Hz", ylabel="dB", xlim=(0, RATE / 2), ylim=(-120, 5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    result = run(arguments.seconds, arguments.picture)
    print(f"SNR against float64: {result['snr_db']:.1f} dB")
    print(f"5 kHz behind a cutoff of {CUTOFF} Hz: -{result['attenuation_db']:.1f} dB")
