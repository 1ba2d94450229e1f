"""What an answer rests on, and what it cost: data, lengths of training and seeds; the folder's runs and hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fracpool.findings.headline import name_of
from fracpool.findings.sighting import listed
from fracpool.findings.tracks import Track
from fracpool.records.plain_text import count, duration, text
from fracpool.table.results import Results

MOST_DATA = 4


def scope(tracks: Sequence[Track]) -> str:
    """Data, epochs and seeds of these comparisons, a data set after the other."""
    told = []
    for data in dict.fromkeys(track.data for track in tracks):
        seen = [s for track in tracks if track.data == data for s in track.sightings]
        per_epoch = sorted({s.images // s.epochs for s in seen if s.epochs and s.images})
        images = [f"{_span(per_epoch)} training images"] if per_epoch else []
        told.append(_of(data, [*images, *_lengths([s.epochs for s in seen], {s.gap.n for s in seen})]))
    return listed(told)


def scope_of_runs(results: Results) -> str:
    """The same of all runs of a folder, where no comparison is designated."""
    runs = results.runs[results.runs["status"] == "completed"]
    told = []
    for data, found in runs.groupby("dataset", sort=True):
        epochs = [int(value) for value in found["epochs"].dropna()]
        if data and epochs:
            told.append(_of(str(data), _lengths(epochs, {int(found["seed"].nunique())})))
    return listed(told[:MOST_DATA])


def cost(results: Results) -> str:
    """Runs, and hours of training by what they ran on: 1,066 runs, 20 h 54 min of training on CPUs."""
    seconds: dict[str, float] = {}
    runs = results.runs
    for run, took in zip(runs["run_id"], runs["train_seconds"], strict=True):
        environment = results.records[run].data.get("environment") or {}
        where = text(environment.get("gpu") or "CPUs", 60)
        seconds[where] = seconds.get(where, 0.0) + (float(took) if took == took and took > 0 else 0.0)
    spent = [f"{duration(took)} on {where}" for where, took in sorted(seconds.items()) if took]
    total = f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"
    return (
        f"{total}, trained for {listed(spent)} (the runs' own times added up; some shared a machine)"
        if spent
        else total
    )


def remarks(results: Results, missing: Sequence[str]) -> list[str]:
    """What the folder cannot tell: designated findings without runs, runs that ended badly."""
    told = []
    if missing:
        told.append(f"Not told here, for want of runs: {', '.join(missing)}.")
    bad = results.runs["status"].isin(["diverged", "failed"]).sum()
    if bad:
        told.append(f"{count(int(bad), 'run')} ended badly and {'is' if bad == 1 else 'are'} left out.")
    if any("profile=quick" in experiment.command for experiment in results.experiments):
        told.append("A quick look: make reproduce PROFILE=full runs the full study.")
    return told


def _of(data: str, facts: Sequence[str]) -> str:
    return f"{name_of(data)} ({'; '.join(facts)})"


def _lengths(epochs: Iterable[int], seeds: Iterable[int]) -> list[str]:
    """1, 3, 10 and 30 epochs; 5 seeds"""
    counted = (sorted(set(epochs)), "epoch"), (sorted(set(seeds)), "seed")
    return [f"{_span(found)} {what}{'' if found == [1] else 's'}" for found, what in counted]


def _span(values: Sequence[int]) -> str:
    shown = [f"{value:,}" for value in values]
    if len(shown) > 1 and len(shown) <= 4:
        return f"{', '.join(shown[:-1])} and {shown[-1]}"
    return shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"
