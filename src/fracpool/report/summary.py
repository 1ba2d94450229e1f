"""The table of variants: network, final size, cost, and accuracy in each form of test."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fracpool.findings.scores import METRICS, over_seeds, scores
from fracpool.findings.statistics import Estimate
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, sizes_text
from fracpool.table.variant_names import COLUMNS

# Forms of test: what their columns in summary.csv begin with, and what the page calls them.
FORMS = {
    "test_accuracy": ("accuracy", "one pass"),
    "deterministic_accuracy": ("even_accuracy", "even pass"),
    "averaged_accuracy": ("averaged_accuracy", "averaged"),
    "views_accuracy": ("views_accuracy", "views"),
    "even_views_accuracy": ("even_views_accuracy", "even views"),
}
ENDS = ("mean", "low", "high")
COUNTS = ("conv_layers", "final_height", "final_width", "parameters", "macs", "n")


def summary(results: Results) -> pd.DataFrame:
    """One row per experiment and variant: network, sizes, cost, accuracies with intervals, n, seconds per epoch."""
    rows = [row for experiment in results.experiments for row in summary_rows(results, experiment)]
    measured = [f"{name}_{end}" for name, _ in FORMS.values() for end in ENDS]
    columns = ("experiment", "variant", *COLUMNS, "conv_layers", "sizes", "final_height", "final_width", "parameters",
               "macs", *measured, "n", "seconds_per_epoch")  # fmt: skip
    flat = [{**row, **_flat(row["forms"])} for row in rows]
    return pd.DataFrame(flat, columns=list(columns)).astype(dict.fromkeys(COUNTS, "Int64"))


def _flat(forms: dict[str, Estimate]) -> dict[str, float | None]:
    return {f"{FORMS[metric][0]}_{end}": getattr(found, end) for metric, found in forms.items() for end in ENDS}


def summary_rows(results: Results, experiment: Experiment) -> list[dict[str, Any]]:
    seconds = _seconds(results, experiment)
    rows = []
    for variant in experiment.variants:
        forms = _forms(results, experiment, variant)
        final = variant.sizes[-1] if variant.sizes else (None, None)
        rows.append(
            {
                "experiment": experiment.name,
                "variant": variant.name,
                "variant_id": variant.id,
                **variant.columns,
                "conv_layers": variant.depth or None,
                "sizes": sizes_text(variant.sizes),
                "final_height": final[0],
                "final_width": final[1],
                "parameters": variant.geometry.get("parameters"),
                "macs": variant.geometry.get("macs"),
                "forms": forms,
                "n": max((found.n for found in forms.values()), default=0),
                "seconds_per_epoch": seconds.get(variant.id),
            }
        )
    return rows


def _forms(results: Results, experiment: Experiment, variant: Variant) -> dict[str, Estimate]:
    """Accuracy over seeds in each form of test that the variant's runs have; a check has none."""
    if variant.settings.get("task") == "gradient":
        return {}
    found = {metric: scores(results, experiment, variant, "end", metric)[0] for metric in METRICS}
    return {metric: over_seeds(by_seed) for metric, by_seed in found.items() if by_seed}


def _seconds(results: Results, experiment: Experiment) -> dict[str, float]:
    """By variant: mean seconds of an epoch, where all its runs were on machines of one kind."""
    found: dict[str, float] = {}
    for variant in experiment.variants:
        records = [r for r in results.records_of(experiment, variant) if r.status == "completed"]
        machines = {machine(r.data.get("environment")) for r in records}
        times = [(r.data.get("timings") or {}).get("seconds_per_epoch") for r in records]
        known = [time for time in times if time is not None]
        if len(machines) == 1 and known:
            found[variant.id] = sum(known) / len(known)
    return found


def machine(environment: Any) -> str:
    """What a run was computed on: the graphics processor, or else the processor and its cores."""
    known = environment if isinstance(environment, dict) else {}
    return str(known.get("gpu") or f"{known.get('cpu') or 'an unknown processor'}, {known.get('cores') or '?'} cores")
