"""How a results folder can be made again: commands, versions and fingerprints that its records hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fracpool.records.plain_text import text
from fracpool.table.results import Results

VERSIONS = (
    "python",
    "tensorflow",
    "keras",
    "numpy",
    "fracpool",
    "backend",
    "jax",
    "torch",
    "gpu",
    "cpu",
    "cores",
    "platform",
    "commit",
)


def how_to_repeat(results: Results) -> dict[str, Any]:
    """Commands, versions and fingerprints, each with the values that the records hold."""
    seen: dict[str, Counter[str]] = {}
    for record in results.records.values():
        environment, data = record.data.get("environment"), record.data.get("data")
        for name in VERSIONS:
            if isinstance(environment, Mapping) and environment.get(name) is not None:
                seen.setdefault(name, Counter())[text(environment[name], 100)] += 1
        if isinstance(data, Mapping) and data.get("fingerprint"):
            name = f"data {text(data.get('name', '?'), 40)} {text(data.get('version', ''), 40)}".strip()
            seen.setdefault(name, Counter())[text(data["fingerprint"], 100)] += 1
        if record.data.get("code_fingerprint"):
            seen.setdefault("code", Counter())[text(record.data["code_fingerprint"], 100)] += 1
    commands = [experiment.command for experiment in results.experiments if experiment.command]
    return {
        "commands": [*commands, "python -m fracpool.report <this folder>"],
        "versions": {name: _tally(values) for name, values in seen.items()},
    }


def _tally(values: Mapping[str, int]) -> str:
    """The one value that all runs have, or each value with its number of runs: versions do not mix in silence."""
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({count} runs)" for value, count in sorted(values.items()))
