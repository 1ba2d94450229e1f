"""The report's figures: aggregated data in, one SVG with caption and alternative text out (`style.Figure`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from fracpool.findings.answer import Answer
from fracpool.findings.tracks import designated
from fracpool.findings.verdicts import Finding
from fracpool.report.figures import curves, digits, endings, gap, rankings, style, swaps
from fracpool.report.figures.gap_by_length import gap_by_length
from fracpool.report.figures.style import Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results

__all__ = ["NAMES", "Figure", "Figures", "draw_all", "ending"]
# How the files of figures end: what ends otherwise in the folder of figures is the user's own.
NAMES = (
    "answer", "gap-by-length", "-budget", "-classes", "-confusion", "-digits", "-final-size", "-gap", "-layers",
    "-map", "-passes", "-ranking", "-regions", "-sizes",
)  # fmt: skip
MOST_FIGURES = 100  # of experiments; those of the one that reaches it are all drawn
FEW_EPOCHS = 2  # of which a learning curve tells nothing


@dataclass(frozen=True)
class Figures:
    """All figures of a report, by the part that they belong to; `experiments` by name, of each one at most."""

    answer: list[Figure]
    pooling: list[Figure]
    gap: list[Figure]
    experiments: dict[str, Figure]

    def __iter__(self) -> Iterator[Figure]:
        return chain(self.answer, self.pooling, self.gap, self.experiments.values())


def draw_all(results: Results, said: Answer, verdicts: Sequence[Finding]) -> Figures:
    """Draws what the results allow; a figure that they do not allow is left out."""
    contrasts = said.swaps
    with style.applied():
        return Figures(
            answer=_of_answer(results, said, verdicts),
            pooling=_present(digits.regions_figure(results), digits.layers_figure(results)),
            gap=_present(gap.gap_figure(results, contrasts)) if said.sides.swapped else [],
            experiments=_of_experiments(results, verdicts),
        )


def _of_answer(results: Results, said: Answer, verdicts: Sequence[Finding]) -> list[Figure]:
    """The gap against the length of training where designated comparisons tell it, else all pairs in a row each."""
    along = gap_by_length(results, designated(verdicts) or ()) if said.clauses else None
    if along is not None:
        return [along]
    return [swaps.swap_figure(said.swaps, said.averaged, said.sides)] if said.swaps else []


def _of_experiments(results: Results, verdicts: Sequence[Finding]) -> dict[str, Figure]:
    drawn: dict[str, Figure] = {}
    for experiment in results.experiments:
        if len(drawn) >= MOST_FIGURES:
            results.tell_beyond(f"{experiment.name or 'single runs'}: its figure is left out, beyond {MOST_FIGURES}")
            continue
        figure = _of_experiment(results, experiment, [f for f in verdicts if f.experiment == experiment.name])
        if figure is not None:
            drawn[experiment.name] = figure
    return drawn


def _of_experiment(results: Results, experiment: Experiment, own: Sequence[Finding]) -> Figure | None:
    """The one figure that shows what an experiment's findings rest on; None where their table says it all."""
    ranked = rankings.ranking_figure(experiment, own)
    if ranked is not None:
        return ranked
    kinds = {part.kind for finding in own for part in finding.counted}
    if kinds == {"reaches"}:
        return curves.passes_figure(results, experiment)
    mapped = endings.map_figure(results, experiment)
    if mapped is not None or "since" in kinds:  # the length of training is the first screen's figure
        return mapped
    budgets = {variant.settings.get("budget.epochs") for variant in experiment.variants}
    is_long = any(isinstance(epochs, int) and epochs > FEW_EPOCHS for epochs in budgets)
    return curves.budget_figure(results, experiment) if is_long else None


def _present(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
