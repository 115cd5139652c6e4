"""The benchmark suite: `python -m bench` runs it, docs/benchmarking.md says what it measures and how."""
