"""The sweep file: which runs an experiment consists of, and the findings it tests."""

from __future__ import annotations

import sys
from typing import Any

from fracpool.records import environment
from fracpool.settings import identity
from fracpool.settings.names import label
from fracpool.settings.schema import Settings
from fracpool.sweep.grid import Plan
from fracpool.training.provenance import now

NO_REPORT = "~hydra.callbacks.report"  # of a sweep whose caller writes the report


def write_sweep(whole: Plan) -> None:
    """Keeps which runs an experiment consists of, for the report: runs may be shared between experiments."""
    experiment = whole.settings.experiment
    if not experiment.name:
        return
    runs = [point.run.run_id for point in whole.points if point.run.run_id]
    before = whole.store.read_sweeps()[0].get(experiment.name, {})
    if whole.missing_data:  # data that are out of reach today take nothing from what was run before
        runs = before.get("runs", [])
    earlier = {*before.get("runs", []), *before.get("older", [])} - set(runs)
    whole.store.write_sweep(
        experiment.name,
        {
            "experiment": experiment.name,
            "title": experiment.title,
            "question": experiment.question,
            "findings": experiment.findings,
            "written": now(),
            "command": _command(),
            "commit": environment.commit(),
            "variants": variants(whole),
            "runs": runs,
            "older": sorted(run for run in earlier if whole.store.folder(run).is_dir()),
            "impossible": [{"label": one.label, "reason": one.reason} for one in whole.impossible],
            "not_run": None if runs else whole.missing_data,
        },
    )


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


def _command() -> str:
    return environment.command([word for word in sys.argv[1:] if word != NO_REPORT])


def shown_name(settings: Settings) -> str:
    return settings.experiment.name or "sweep"
