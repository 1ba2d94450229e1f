"""One page on the whole study, in the form of reproducibility reports: scope, method, results, ease, pains and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fracpool.findings.answer import Answer
from fracpool.findings.verdicts import Finding
from fracpool.findings.words import UNDECIDED, WORDS
from fracpool.records.plain_text import count, duration
from fracpool.report.chapters import Chapter
from fracpool.report.summary import machine
from fracpool.table.results import Results
from fracpool.table.variant_names import DATA_SETS

MOST_NAMED = 12  # findings that are named in a sentence


@dataclass(frozen=True)
class OnePage:
    """What summary.md shows."""

    title: str
    headline: str
    sentences: tuple[str, ...]
    method: str
    words: list[str]  # of verdicts, as far as there are any
    chapters: list[tuple[str, list[int]]]  # title, number of findings by word
    easy: list[str]
    hard: list[str]
    costs: list[tuple[str, int, str]]  # machine, runs, time in training


def one_page(results: Results, said: Answer, findings: Sequence[Finding], chapters: Sequence[Chapter]) -> OnePage:
    seen = Counter(finding.word for finding in findings)
    words = [word for word in WORDS if seen[word]]
    tallies = [(chapter.title, Counter(f.word for f in chapter.findings)) for chapter in chapters if chapter.findings]
    return OnePage(
        title=said.question,
        headline=said.headline,
        sentences=said.sentences,
        method=_method(results),
        words=words,
        chapters=[(title, [tally[word] for word in words]) for title, tally in tallies],
        easy=_easy(results, findings),
        hard=_hard(results, findings),
        costs=_costs(results),
    )


def _method(results: Results) -> str:
    runs = results.runs
    data = sorted(DATA_SETS.get(name, name) for name in runs["dataset"].unique() if name)
    seeds = runs.groupby("variant_id")["seed"].nunique()
    experiments = sum(bool(experiment.name) for experiment in results.experiments)
    if runs.empty:
        return "No runs yet."
    few, many = int(seeds.min()), int(seeds.max())
    return (
        f"{count(len(runs), 'run')} of {count(len(seeds), 'variant')} in {count(experiments, 'experiment')} on "
        f"{' and '.join(data) or 'no data set'}, with {few if few == many else f'{few} to {many}'} seeds each. "
        "Comparisons, margins and budgets stood in the experiments' files before the runs, unless a finding says "
        "otherwise; differences are paired by seed."
    )


def _easy(results: Results, findings: Sequence[Finding]) -> list[str]:
    runs = results.runs
    completed = runs[runs["status"] == "completed"]
    told = [f"{len(completed):,} of {count(len(runs), 'run')} ended well."] if len(runs) else []
    if completed["train_seconds"].notna().any():
        half, longest = completed["train_seconds"].median(), completed["train_seconds"].max()
        told.append(f"Half of them trained in {duration(half)} or less, the longest in {duration(longest)}.")
    settled = [f for f in findings if f.word not in (UNDECIDED, "not run")]
    if findings:
        told.append(f"{len(settled)} of {count(len(findings), 'finding')} were settled by the seeds at hand.")
    return told


def _hard(results: Results, findings: Sequence[Finding]) -> list[str]:
    """What stayed open, was not run or did not end."""
    told = []
    for word, what in ((UNDECIDED, "Undecided"), ("not run", "Not run")):
        ids = [f.id for f in findings if f.word == word]
        if ids:
            more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
            told.append(f"{what}: {', '.join(ids[:MOST_NAMED])}{more}.")
    needed = [part.numbers["seeds_needed"] for f in findings for part in f.counted if part.numbers.get("seeds_needed")]
    if needed:
        told.append(f"At the spread that was seen, to settle what counts would take up to {max(needed)} seeds.")
    changed = [f.id for f in findings if f.rule_changes]
    if changed:
        told.append(f"Rules that were changed once runs were known: {', '.join(changed[:MOST_NAMED])}.")
    lost = int((results.runs["status"] != "completed").sum())
    missing = sum(len(results.missing(experiment)) for experiment in results.experiments if not experiment.not_run)
    if lost or missing:
        told.append(f"{count(lost, 'run')} did not end well, and {missing} of those planned have no record.")
    return told


def _costs(results: Results) -> list[tuple[str, int, str]]:
    """By machine: its runs, and their training together; machines of different kinds are not added up."""
    runs: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for record in results.records.values():
        kind = machine(record.data.get("environment"))
        runs[kind] += 1
        seconds[kind] = seconds.get(kind, 0.0) + ((record.data.get("timings") or {}).get("train_seconds") or 0.0)
    return [(kind, n, duration(seconds[kind])) for kind, n in runs.most_common()]
