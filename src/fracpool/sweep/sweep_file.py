"""The sweep file: which runs an experiment consists of, and the findings it tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fracpool.records import environment
from fracpool.records.plain_text import without_folders
from fracpool.records.record import digest
from fracpool.settings import identity
from fracpool.settings.names import label
from fracpool.settings.refusal import SettingsError, require
from fracpool.settings.schema import Settings
from fracpool.sweep import rule_history
from fracpool.sweep.grid import Plan
from fracpool.training.provenance import now

NO_REPORT = "~hydra.callbacks.report"  # of a sweep whose caller writes the report


def write_sweep(whole: Plan, source: Path | None) -> None:
    """Keeps which runs an experiment consists of, for the report: runs may be shared between experiments.

    `source` is the experiment's file, whose later changes the report can then tell.
    """
    experiment = whole.settings.experiment
    if not experiment.name:
        return
    name, before = _place(whole)
    runs = [point.run.run_id for point in whole.points if point.run.run_id]
    if whole.missing_data:  # data that are out of reach today take nothing from what was run before
        runs = before.get("runs", [])
    earlier = {*before.get("runs", []), *before.get("older", [])} - set(runs)
    older = sorted(run for run in earlier if whole.store.has(run))
    known = len(older) + sum(whole.store.has(run) for run in runs)
    title = experiment.title or experiment.name
    sweep = {
        "experiment": experiment.name,
        "title": experiment.title if name == experiment.name else f"{title}, on {', '.join(_datasets_of(whole))}",
        "chapter": experiment.chapter,
        "question": experiment.question,
        "findings": experiment.findings,
        "rules": rule_history.extended(before, experiment.findings, now(), known),
        "source": _source(source),
        "written": now(),
        "command": command(whole.settings.backend),
        "commit": environment.commit(),
        "variants": variants(whole),
        "runs": runs,
        "older": older,
        "impossible": [{"label": one.label, "reason": one.reason} for one in whole.impossible],
        "not_run": None if runs else whole.missing_data,
    }
    if not _says_the_same(sweep, before):
        whole.store.write_sweep(name, sweep)


def _says_the_same(sweep: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether there is nothing new in it but the time."""
    as_read = json.loads(json.dumps(sweep))
    return all(before.get(field, ...) == value for field, value in as_read.items() if field != "written")


def remarks(whole: Plan) -> list[str]:
    """A line where the experiment was run on other data before, beside which its verdicts are kept."""
    name, _ = _place(whole)
    if name in ("", whole.settings.experiment.name):
        return []
    return [f"another data set than before: its verdicts are kept beside the earlier ones, as {name}"]


def _place(whole: Plan) -> tuple[str, dict[str, Any]]:
    """The name of the sweep file, and what it holds up to now: one file for each experiment and its data."""
    experiment, data = whole.settings.experiment.name, _datasets_of(whole)
    if not experiment:
        return "", {}
    kept = whole.store.read_sweeps()[0]
    for name, sweep in kept.items():
        try:
            of_before = _datasets(variant["config"] for variant in sweep.get("variants") or ())
        except (AttributeError, KeyError, TypeError) as error:
            file = whole.store.sweeps / f"{name}.json"
            raise SettingsError(f"{file}: not a sweep file ({type(error).__name__}); set it aside") from None
        alike = not data or not of_before or set(data) & set(of_before)
        if sweep.get("experiment", name) == experiment and alike:
            return name, sweep
    name = experiment if experiment not in kept else f"{experiment}-on-{'-'.join(data)}"
    require(name not in kept, "experiment.name", experiment, f"another name: {name} is taken in this results folder")
    return name, {}


def _datasets_of(whole: Plan) -> list[str]:
    return _datasets(identity.config(point.run.settings) for point in whole.points)


def _datasets(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a sweep is tested on: names of data sets, of which held-out images are another."""
    chosen = (config["dataset"] for config in configs if "dataset" in config)
    return list(dict.fromkeys(d["name"] + ("-held-out" if d.get("held_out") else "") for d in chosen))


def _source(file: Path | None) -> dict[str, str] | None:
    """An experiment's file in the working directory, and its text's hash."""
    if file is None or not file.resolve().is_relative_to(Path.cwd()):
        return None
    return {"file": file.resolve().relative_to(Path.cwd()).as_posix(), "digest": digest(file.read_text("utf-8"))}


def variants(whole: Plan) -> list[dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for point in whole.points:
        settings = point.run.settings
        variant = identity.variant_id(settings)
        if variant not in described:
            described[variant] = {
                "variant_id": variant,
                "label": label(settings),
                "config": identity.config(settings),
                "geometry": point.run.network.as_record(),
            }
    return list(described.values())


def command(backend: str | None) -> str:
    """As it was typed, without what follows from the machine: a folder in the working directory is relative to it."""
    here = f"{os.getcwd()}/"
    words = [word.replace(here, "") for word in sys.argv[1:] if word not in (NO_REPORT, "plan=true")]
    return environment.command([without_folders(word) for word in words], backend)


def shown_name(settings: Settings) -> str:
    return settings.experiment.name or "sweep"
