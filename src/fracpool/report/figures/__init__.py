"""The report's figures: aggregated data in, one SVG with caption and alternative text out (`style.Figure`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from fracpool.findings.answer import Answer
from fracpool.findings.verdicts import Finding
from fracpool.report.figures import classes, curves, digits, endings, gap, rankings, sizes, style, swaps
from fracpool.report.figures.style import Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results

__all__ = ["NAMES", "Figure", "Figures", "draw_all", "ending"]
# How the files of figures end: what ends otherwise in the folder of figures is the user's own.
NAMES = (
    "answer", "-budget", "-classes", "-confusion", "-digits", "-final-size", "-gap", "-layers", "-map", "-passes",
    "-ranking", "-regions", "-sizes",
)  # fmt: skip
MOST_FIGURES = 100  # of experiments; those of the one that reaches it are all drawn
EACH = (
    curves.budget_figure, curves.passes_figure, endings.final_size_figure, endings.map_figure, sizes.sizes_figure,
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """All figures of a report, by the part that they belong to; `experiments` by name."""

    answer: list[Figure]
    pooling: list[Figure]
    gap: list[Figure]
    experiments: dict[str, list[Figure]]

    def __iter__(self) -> Iterator[Figure]:
        return chain(self.answer, self.pooling, self.gap, *self.experiments.values())


def draw_all(results: Results, said: Answer, verdicts: Sequence[Finding]) -> Figures:
    """Draws what the results allow; a figure that they do not allow is left out."""
    contrasts = said.swaps
    with style.applied():
        return Figures(
            answer=[swaps.swap_figure(contrasts, said.averaged, said.sides)] if contrasts else [],
            pooling=_present(digits.regions_figure(results), digits.layers_figure(results)),
            gap=_present(gap.gap_figure(results, contrasts)) if said.sides.swapped else [],
            experiments=_of_experiments(results, said, verdicts),
        )


def _of_experiments(results: Results, said: Answer, verdicts: Sequence[Finding]) -> dict[str, list[Figure]]:
    drawn: dict[str, list[Figure]] = {}
    for experiment in results.experiments:
        if sum(map(len, drawn.values())) >= MOST_FIGURES:
            results.tell_beyond(f"{experiment.name or 'single runs'}: its figures are left out, beyond {MOST_FIGURES}")
            continue
        drawn[experiment.name] = _of_experiment(results, experiment, said, verdicts)
    return drawn


def _of_experiment(results: Results, experiment: Experiment, said: Answer, verdicts: Sequence[Finding]) -> list[Figure]:
    own = [contrast for contrast in said.swaps if contrast.experiment == experiment.name]
    drawn = _present(*(draw(results, experiment) for draw in EACH))
    ranked = rankings.ranking_figures(experiment, verdicts)
    return drawn + ranked + classes.class_figures(results, experiment, own, said.sides)


def _present(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
