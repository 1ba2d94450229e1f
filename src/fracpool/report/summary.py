"""The table of variants: network, sizes, cost and accuracy of each."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fracpool.findings.scores import ending
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import sizes_text

# ---- what the page shows ----


def summary(results: Results) -> pd.DataFrame:
    """One row per experiment and variant: network, sizes, cost, accuracy with interval, n, seconds per epoch."""
    rows = [row for experiment in results.experiments for row in summary_rows(results, experiment)]
    columns = ("experiment", "variant", "conv_layers", "sizes", "final_height", "final_width", "parameters", "macs",
               "accuracy_mean", "accuracy_low", "accuracy_high", "n", "averaged_accuracy_mean",
               "seconds_per_epoch")  # fmt: skip
    counts = ("conv_layers", "final_height", "final_width", "parameters", "macs", "n")
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(counts, "Int64"))


def summary_rows(results: Results, experiment: Experiment) -> list[dict[str, Any]]:
    means = {variant.id: mean for variant, mean in ending(results, experiment)}
    runs = results.of(experiment)
    completed = runs[runs["status"] == "completed"].groupby("variant_id")
    seconds = completed["seconds_per_epoch"].mean()
    averaged = completed["averaged_accuracy"].mean()
    rows = []
    for variant in experiment.variants:
        mean = means.get(variant.id)
        final = variant.sizes[-1] if variant.sizes else (None, None)
        rows.append(
            {
                "experiment": experiment.name,
                "variant": variant.name,
                "conv_layers": variant.depth or None,
                "sizes": sizes_text(variant.sizes),
                "final_height": final[0],
                "final_width": final[1],
                "parameters": variant.geometry.get("parameters"),
                "macs": variant.geometry.get("macs"),
                "accuracy_mean": mean.mean if mean else None,
                "accuracy_low": mean.low if mean else None,
                "accuracy_high": mean.high if mean else None,
                "n": mean.n if mean else 0,
                "averaged_accuracy_mean": averaged.get(variant.id),
                "seconds_per_epoch": seconds.get(variant.id),
            }
        )
    return rows
