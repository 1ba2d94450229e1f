"""The order in which a report tells its findings: chapters, from the answer's claims down to the sanity checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fracpool.findings.verdicts import Finding
from fracpool.table.experiment import Experiment

OTHERS = "More findings"
# What a chapter is called, and its experiments; those of a study of one's own come after these, before the last.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "The answer's claims": ("mnist_swap", "mnist_steps", "cifar10_depth", "asker", "gradient"),
    "The length of training": ("budget_mnist", "budget_cifar10"),
    "Few images, images that move, trust": ("few_images", "few_images_cifar10"),
    "Causes": ("mnist_regions", "mnist_dense", "mnist_norm", "ingredients", "cifar10_ingredients"),
    "Depth": ("cifar10_four", "depth_ratio", "cifar10_ratio"),
    "A strong network": ("airbench_swap", "airbench_swap_full", "airbench_slow", "airbench_precision"),
    "Graham's networks": ("graham_mnist", "graham_cifar10", "graham_control"),
    "Other poolings": ("poolings",),
    OTHERS: (),
    "Sanity checks": ("mnist_anchor", "cifar10_anchor", "airbench_anchor", "mnist_fast"),
}


@dataclass(frozen=True)
class Chapter:
    """Experiments that belong together, and their findings."""

    title: str
    experiments: tuple[Experiment, ...]
    findings: tuple[Finding, ...]


def chapters(experiments: Sequence[Experiment], findings: Sequence[Finding]) -> list[Chapter]:
    """The chapters that have something to tell, each in the order of CHAPTERS and of the findings' ids."""
    place = {name: title for title, names in CHAPTERS.items() for name in names}
    found = []
    for title, names in CHAPTERS.items():
        own = [experiment for experiment in experiments if place.get(experiment.name, OTHERS) == title]
        own.sort(key=lambda experiment: names.index(experiment.name) if names else 0)
        order = {experiment.name: number for number, experiment in enumerate(own)}
        told = sorted((f for f in findings if f.experiment in order), key=lambda f: order[f.experiment])
        if own:
            found.append(Chapter(title, tuple(own), tuple(told)))
    return found
