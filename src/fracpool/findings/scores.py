"""Variants of an experiment as its findings select them, and what their runs scored, by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fracpool.findings import statistics
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count, text
from fracpool.records.record import Record, RecordError
from fracpool.settings import findings_schema, selectors
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, number

KEPT = ("one_pass", "averaged", "deterministic", "views", "even_views")
METRICS = dict(zip(findings_schema.ACCURACIES, KEPT, strict=True))  # and under which name its predictions are kept
WORDS = {
    "test_accuracy": "",
    "averaged_accuracy": ", averaged passes",
    "deterministic_accuracy": ", even regions",
    "views_accuracy": ", averaged views",
    "even_views_accuracy": ", averaged views over even regions",
}


class NotJudged(Exception):
    """A part that cannot be judged; the text says why."""


def select(experiment: Experiment, selector: Mapping[str, Any]) -> list[Variant]:
    """The variants whose config has all these values, by dotted key; a list of values stands for any of them."""
    return [variant for variant in experiment.variants if selectors.matches(variant.settings, selector)]


def select_one(experiment: Experiment, selector: Mapping[str, Any]) -> Variant:
    """The one variant that a selector means, or NotJudged."""
    found = select(experiment, selector)
    if len(found) == 1:
        return found[0]
    wanted = selectors.told(selector)
    if not found:
        raise NotJudged(f"the newest sweep has no variant with {wanted}")
    raise NotJudged(f"{len(found)} variants of the newest sweep have {wanted}; a comparison needs just one")


def scores(
    results: Results, experiment: Experiment, variant: Variant, at: int | str = "end", metric: str = "test_accuracy"
) -> tuple[dict[int, float], list[str]]:
    """Accuracy by seed of a variant's completed runs, and a note for each run that is left out."""
    found, notes = by_seed(results.records_of(experiment, variant), at, metric)
    return found, [text(f"{variant.name}, {note.replace(f'{results.root}/', '')}") for note in notes]


def by_seed(
    records: Iterable[Record], at: int | str = "end", metric: str = "test_accuracy"
) -> tuple[dict[int, float], list[str]]:
    """Accuracy by seed of completed runs of one variant, and a note for each run that is left out."""
    found: dict[int, float] = {}
    notes: list[str] = []
    doubled: set[int] = set()
    untested = 0
    for record in records:
        seed = int(record.data["seed"])
        if record.status != "completed":
            notes.append(f"seed {seed}: {record.status}")
            continue
        if at == "end" and metric not in record.data["metrics"]:
            untested += 1
            continue
        try:
            value = _score(record, at, metric)
        except RecordError as error:
            notes.append(f"seed {seed}: {error}")
            continue
        if seed in found:
            doubled.add(seed)
        found[seed] = value
    for seed in sorted(doubled):
        del found[seed]
        notes.append(f"seed {seed}: two records in one sweep, neither is used")
    if untested:
        notes.append(f"{count(untested, 'record')} without {metric}, a form in which they were not tested")
    return found, notes


def _score(record: Record, at: int | str, metric: str) -> float:
    if at == "end":
        value = number(record.data["metrics"].get(metric), metric)
        assert value is not None
        return value
    for row in record.history():
        if row["epoch"] == at:
            if not 0 <= row["test_accuracy"] <= 1:
                raise RecordError(f"test_accuracy of epoch {at} is {row['test_accuracy']}")
            return row["test_accuracy"]
    raise RecordError(f"has no epoch {at}")


def predicted(
    results: Results, experiment: Experiment, variant: Variant, metric: str = "test_accuracy"
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By seed, of the runs that kept their predictions: the labels of the test images, and the classes chosen."""
    found = {}
    for record in results.records_of(experiment, variant):
        chosen = results.predictions.of(record, METRICS[metric]) if metric in METRICS else None
        if chosen is not None:
            found[int(record.data["seed"])] = chosen
    return found


def histories(results: Results, experiment: Experiment, variant: Variant) -> dict[int, list[tuple[float, float]]]:
    """By seed, of the completed runs: (training images seen, test accuracy) after each epoch, or NaN if untested."""
    found: dict[int, list[tuple[float, float]]] = {}
    for record in results.records_of(experiment, variant):
        if record.status == "completed":
            try:
                found[record.data["seed"]] = [(row["examples"], row["test_accuracy"]) for row in record.history()]
            except RecordError:
                continue
    return found


def over_seeds(found: Mapping[int, float]) -> Estimate:
    return statistics.share([found[seed] for seed in sorted(found)])


def ending(results: Results, experiment: Experiment) -> list[tuple[Variant, Estimate]]:
    """The variants with finished runs, and their accuracy at the end over seeds."""
    found = []
    for variant in experiment.variants:
        if variant.settings.get("task") == "gradient":
            continue
        accuracies, _ = scores(results, experiment, variant)
        if accuracies:
            found.append((variant, over_seeds(accuracies)))
    return found
