"""Run records as tidy tables: one row per run, and the experiments that the runs belong to.

A results folder may come from a stranger, so nothing in a record is trusted: a value of a wrong type sets
the record aside with one line, and text is cut and freed of control characters before anything shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from fracpool.records.plain_text import text
from fracpool.records.record import Record, RecordError
from fracpool.records.store import Store
from fracpool.settings.names import flatten
from fracpool.table import limits
from fracpool.table.experiment import Experiment, by_first_finding, experiment_of
from fracpool.table.predictions import Predictions
from fracpool.table.rows import all_columns, row, typed
from fracpool.table.variant import Variant
from fracpool.table.variant_names import short_names

LOOSE = ""  # the name of the experiment that holds the runs of no experiment


@dataclass
class Results:
    """A results folder as read: experiments, the runs table, the records by id, and what could not be used.

    `runs` has COLUMNS and some more (variant_id, averaged_accuracy, seconds_per_epoch, …), one row per run.
    """

    root: Path
    experiments: list[Experiment]
    runs: pd.DataFrame
    records: dict[str, Record]
    problems: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)  # what is left out, or cut, since it is more than a report takes
    predictions: Predictions = field(default_factory=Predictions, repr=False)
    _by_variant: dict[str, dict[str, list[Record]]] = field(default_factory=dict, repr=False)

    def records_of(self, experiment: Experiment, variant: Variant) -> list[Record]:
        """The records of a variant's planned runs in an experiment."""
        if experiment.name not in self._by_variant:
            records = (self.records[run] for run in experiment.planned if run in self.records)
            self._by_variant[experiment.name] = limits.few_seeds(records, experiment.name, self.beyond)
        return self._by_variant[experiment.name].get(variant.id, [])

    def tell_beyond(self, line: str) -> None:
        """Keeps a line, once, on what is left out since it is more than a report takes."""
        if line not in self.beyond:
            self.beyond.append(line)

    def of(self, experiment: Experiment) -> pd.DataFrame:
        """The planned runs of an experiment that have a record."""
        return self.runs[self.runs["run_id"].isin(set(experiment.planned))]

    def missing(self, experiment: Experiment) -> list[str]:
        """Planned runs without a record."""
        return [run for run in experiment.planned if run not in self.records]


def read(root: Path) -> Results:
    """Reads a results folder; damaged files become lines in `problems`, never an exception."""
    store = Store(root)
    reading = store.read()
    sweeps, sweep_problems = store.read_sweeps()
    problems = [*reading.problems, *sweep_problems]
    rows: list[dict[str, Any]] = []
    records: dict[str, Record] = {}
    for record in reading.records:
        try:
            rows.append(row(record))
            records[record.run_id] = record
        except RecordError as error:
            problems.append(str(error))
    experiments = []
    for name, sweep in sorted(sweeps.items()):
        try:
            experiments.append(experiment_of(name, sweep))
        except RecordError as error:
            problems.append(f"{store.sweeps / name}.json: {error}; run the sweep again")
    experiments.sort(key=by_first_finding)
    runs = typed(pd.DataFrame(rows, columns=all_columns()))
    experiments += _loose(runs, experiments, records)
    runs["experiment"] = _memberships(runs["run_id"], experiments)
    runs["variant"] = _names(runs, experiments)
    beyond: list[str] = []
    experiments = limits.within(experiments, beyond)
    prefix = f"{root}/"
    shown = [text(problem.replace(prefix, ""), 600) for problem in problems]
    return Results(root, experiments, runs, records, shown, beyond)


def _loose(runs: pd.DataFrame, experiments: Iterable[Experiment], records: Mapping[str, Record]) -> list[Experiment]:
    """The experiment of the runs that no sweep file names (made by single calls), if there are any."""
    named = {run for e in experiments for run in (*e.planned, *e.older)}
    loose = runs[~runs["run_id"].isin(named)]
    if loose.empty:
        return []
    first = loose.drop_duplicates("variant_id")
    found = [records[run].data for run in first["run_id"]]
    names = short_names([(label, _telling(d)) for label, d in zip(first["label"], found, strict=True)])
    variants = [
        Variant(id_, name, d["config"], d["geometry"])
        for id_, name, d in zip(first["variant_id"], names, found, strict=True)
    ]
    return [Experiment(LOOSE, "Runs outside the experiments", "", tuple(variants), planned=tuple(loose["run_id"]))]


def _memberships(run_ids: pd.Series, experiments: Iterable[Experiment]) -> list[str]:
    members: dict[str, list[str]] = {}
    for experiment in experiments:
        for run in (*experiment.planned, *experiment.older):
            members.setdefault(run, []).append(experiment.name)
    return [";".join(sorted(set(members.get(run, [])))) for run in run_ids]


def _names(runs: pd.DataFrame, experiments: Iterable[Experiment]) -> list[str]:
    """What each run's variant is called: as in the first experiment that holds it."""
    names: dict[str, str] = {}
    for experiment in experiments:
        for variant in experiment.variants:
            names.setdefault(variant.id, variant.name)
    return [names.get(id_, label) for id_, label in zip(runs["variant_id"], runs["label"], strict=True)]


def _telling(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which a record's variant is told from others; results of another version are none of its."""
    return flatten(data["config"]) | {"results_version": data.get("results_version")}
