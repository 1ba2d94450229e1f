"""The answer in plain words, made from the runs, never by hand: does FMP beat 2×2 max pooling, and when?

A folder whose findings compare something else is answered by these (`fracpool.findings.own_answer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fracpool.findings.contrasts import AHEAD, AVERAGED, BEHIND, DEEPER, PSEUDO, SWAP, Contrast, contrasts_of
from fracpool.findings.headline import Clause
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count, points
from fracpool.table.results import Results

QUESTION = "Does fractional max pooling beat 2×2 max pooling, and when?"


@dataclass(frozen=True)
class Sides:
    """What the two sides of the contrasts are called in figures: in a text, shortly, and in full."""

    a: str
    b: str
    b_short: str
    b_whole: str

    @property
    def swapped(self) -> bool:
        """Whether each contrast puts FMP in the place of max pooling and changes nothing else."""
        return self == FMP_FOR_MAX


FMP_FOR_MAX = Sides("FMP", "max pooling", "max", "2×2 max pooling")


@dataclass(frozen=True)
class Answer:
    """The first screen: a question, a headline, at most three sentences, and the contrasts that they rest on."""

    question: str
    sides: Sides
    headline: str
    sentences: tuple[str, ...]
    swaps: tuple[Contrast, ...]
    averaged: tuple[Contrast, ...]  # the swaps again, with the test passes of FMP averaged
    deeper: tuple[Contrast, ...]
    clauses: tuple[Clause, ...] = ()  # of designated comparisons; the headline is their leads


def answer(results: Results) -> Answer:
    """The answer that these results give to the question whether FMP beats max pooling."""
    swaps, averaged = contrasts_of(results, SWAP), contrasts_of(results, AVERAGED)
    deeper = contrasts_of(results, DEEPER)
    sentences = (
        _sentence(*_swap_words(swaps), *_budget_words(swaps)),
        _sentence(*_depth_words(deeper)),
        _sentence(*_regions_words(contrasts_of(results, PSEUDO)), *_averaging_words(results, averaged)),
    )
    headline = _headline(swaps)
    if swaps:
        headline += _depth_clause(deeper) + ("" if _how_many(swaps, AHEAD) else _averaged_clause(averaged))
    headline += "."
    return Answer(
        QUESTION, FMP_FOR_MAX, headline, tuple(filter(None, sentences)), tuple(swaps), tuple(averaged), tuple(deeper)
    )


# ---- sentences, each of parts that the data allow ----


def _sentence(*words: str) -> str:
    joined = "; ".join(words)
    return f"{joined[0].upper()}{joined[1:]}." if joined else ""


def _headline(swaps: Sequence[Contrast]) -> str:
    if not swaps:
        return "Not answered yet: no two finished runs differ by FMP against 2×2 max pooling alone"
    ahead, behind = _how_many(swaps, AHEAD), _how_many(swaps, BEHIND)
    if ahead and behind:
        return "It depends: FMP beats 2×2 max pooling in some networks and loses in others"
    if ahead:
        return "Yes: put in its place, FMP beats 2×2 max pooling"
    if behind:
        return "No: put in its place, FMP does not beat 2×2 max pooling"
    return "Undecided: these runs do not settle whether FMP beats 2×2 max pooling"


def _depth_clause(deeper: Sequence[Contrast]) -> str:
    if not deeper:
        return ""
    ahead, behind = _how_many(deeper, AHEAD), _how_many(deeper, BEHIND)
    if ahead and behind:
        return "; with more layers it is ahead here and behind there"
    if ahead:
        return "; given more layers than max pooling, it can"
    return "; nor does it with more layers" if behind else "; with more layers it is undecided"


def _averaged_clause(averaged: Sequence[Contrast]) -> str:
    return "; with averaged test passes it can" if _how_many(averaged, AHEAD) else ""


def _swap_words(swaps: Sequence[Contrast]) -> Iterable[str]:
    if not swaps:
        return
    n, ahead, behind = len(swaps), _how_many(swaps, AHEAD), _how_many(swaps, BEHIND)
    low, high = min(swaps, key=lambda c: c.end.mean), max(swaps, key=lambda c: c.end.mean)
    spread = f"{points(low.end.mean)} to {points(high.end.mean)} points" if n > 1 else f"{points(low.end.mean)} points"
    yield (
        f"swapped for 2×2 max pooling in an otherwise equal network, FMP ended ahead in {ahead} of "
        f"{count(n, 'comparison')}, behind in {behind}, and {n - ahead - behind} are undecided ({spread})"
    )
    winners = sorted((c for c in swaps if c.outcome == AHEAD), key=lambda c: -c.end.mean)
    if winners:
        yield "it was ahead with " + _listed(f"{c.a.name} ({_shown(c.end)})" for c in winners[:3])


def _budget_words(swaps: Sequence[Contrast]) -> Iterable[str]:
    both = [c for c in swaps if c.first is not None and c.first.mean != c.end.mean]
    if not both:
        return
    first = float(np.mean([c.first.mean for c in both if c.first]))
    end = float(np.mean([c.end.mean for c in both]))
    change = "shrinks with training" if abs(end) < abs(first) else "does not shrink with training"
    yield (
        f"the difference {change}: over these comparisons it averages {points(first)} points after the first "
        f"epoch and {points(end)} at the end"
    )


def _depth_words(deeper: Sequence[Contrast]) -> Iterable[str]:
    if not deeper:
        return
    n, ahead, behind = len(deeper), _how_many(deeper, AHEAD), _how_many(deeper, BEHIND)
    yield (
        f"with more convolutions than the max-pool network it is held against, FMP is ahead in {ahead} of "
        f"{count(n, 'comparison')} and behind in {behind}"
    )


def _regions_words(pairs: Sequence[Contrast]) -> Iterable[str]:
    if not pairs:
        return
    mean = float(np.mean([c.end.mean for c in pairs]))
    yield f"pseudorandom regions end {_above(mean)} random ones (mean of {count(len(pairs), 'comparison')})"


def _averaging_words(results: Results, averaged: Sequence[Contrast]) -> Iterable[str]:
    planned = {run for experiment in results.experiments for run in experiment.planned}
    runs = results.runs[results.runs["run_id"].isin(planned)]
    chosen = runs[(runs["pool"] == "fmp") & (runs["repeats"] > 1) & (runs["status"] == "completed")]
    gain = (chosen["averaged_accuracy"] - chosen["test_accuracy"]).dropna()
    if len(gain):
        repeats = _listed(str(r) for r in sorted(chosen["repeats"].unique()))
        yield (
            f"averaging {repeats} test passes puts FMP {_above(float(gain.mean()))} a single pass "
            f"(mean of {count(len(gain), 'run')})"
        )
    if averaged:
        n, ahead, behind = len(averaged), _how_many(averaged, AHEAD), _how_many(averaged, BEHIND)
        yield (
            f"so averaged, it is ahead of a single pass of 2×2 max pooling in {ahead} of {count(n, 'comparison')} and "
            f"behind in {behind}"
        )


def _above(mean: float) -> str:
    shown = points(mean)
    if shown == "0":
        return "level with"
    return f"{shown.lstrip('+−')} points {'above' if mean > 0 else 'below'}"


def _shown(mean: Estimate) -> str:
    return f"{points(mean.mean)} points, n = {mean.n}"


def _how_many(contrasts: Sequence[Contrast], outcome: str) -> int:
    return sum(c.outcome == outcome for c in contrasts)


def _listed(items: Iterable[str]) -> str:
    found = list(items)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
