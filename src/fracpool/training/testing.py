"""Test passes: one, the average of several, and one without chance; what they score and what is kept."""

from __future__ import annotations

import time
from typing import Any, Literal

import keras
import numpy as np

from fracpool.settings import datasets
from fracpool.settings.check import test_passes
from fracpool.settings.schema import Settings
from fracpool.training.measures import calibration, likelihood, score
from fracpool.training.program import Program
from fracpool.training.state import test_streams

TEST_BATCH = 500
Border = Literal["constant", "reflect"]


# By the setting `views`: weight, pixels to move down and to the right, and whether mirrored, of each view. airbench's
# weights (Jordan, arXiv 2404.00498): half for images in their place, half for moved ones.
VIEWS = {
    "flip": [(1 / 2, (0, 0), False), (1 / 2, (0, 0), True)],
    "flip_shift": [
        (1 / 4, (0, 0), False), (1 / 4, (0, 0), True), (1 / 8, (1, 1), False), (1 / 8, (1, 1), True),
        (1 / 8, (-1, -1), False), (1 / 8, (-1, -1), True),
    ],
}  # fmt: skip


def test_pass(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Class probabilities (n, classes) float32 of one pass. Regions of FMP are drawn anew for each batch."""
    logits = [
        model.predict_on_batch(images[start : start + TEST_BATCH].astype(np.float32) / 255.0)
        for start in range(0, len(images), TEST_BATCH)
    ]
    shifted = np.concatenate(logits).astype(np.float32)
    shifted -= shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)


def final_test(
    program: Program,
    settings: Settings,
    arrays: datasets.Arrays,
    history: list[dict[str, float]],
    tested: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], dict[str, Any], float]:
    """Predictions, metrics and seconds of the final test: one pass, and the average of `repeats` passes; with `views`
    also the averages of as many passes as there are views, each over another view.

    The one pass is that after the last epoch (`tested`), or the same again where further passes follow it. The
    average sums probabilities, as Graham's repeat tests do; with `test_shift` the images move from pass to pass. A
    deterministic pass, over even regions, stands beside.
    """
    began = time.perf_counter()
    model = program.tested
    repeats, shift = test_passes(settings)
    labels = arrays.test_labels
    with test_streams(model, settings.seed, settings.budget.epochs):
        known = tested if repeats == 1 else None
        total = one_pass = test_pass(model, arrays.test_images) if known is None else known
        by_repeats = {"1": score(one_pass, labels)[1]}
        views = len(VIEWS.get(settings.views or "", ()))
        for number, move in enumerate(_moves(shift, repeats)[1:], start=2):
            total = total + test_pass(model, moved(arrays.test_images, *move))
            if number in (repeats, views) or number & (number - 1) == 0:
                by_repeats[str(number)] = score(total / number, labels)[1]
        of_views = _of_views(program, settings, arrays.test_images)
        drawn = even_too = _consistency(model, arrays.test_images, one_pass, settings.consistency_shift)
    loss, accuracy = score(one_pass, labels)
    even = one_pass
    if program.even is not None:
        even = test_pass(program.even, arrays.test_images)
        even_too = _consistency(program.even, arrays.test_images, even, settings.consistency_shift)
    metrics = {
        "test_accuracy": accuracy,
        "test_error": 1 - accuracy,
        "test_loss": loss,
        "averaged_accuracy": by_repeats[str(repeats)],
        "accuracy_by_repeats": by_repeats,
        "repeats": repeats,
        "deterministic_accuracy": score(even, labels)[1],
        "train_loss": history[-1]["train_loss"],
    }
    metrics |= {f"{form}_accuracy": score(averaged, labels)[1] for form, averaged in of_views.items()}
    predictions = {"one_pass": one_pass, "averaged": total / repeats, "deterministic": even, **of_views}
    for form, probabilities in predictions.items():
        start = "test" if form == "one_pass" else form
        metrics[f"{start}_likelihood"] = likelihood(probabilities, labels)
        metrics[f"{start}_calibration"] = calibration(probabilities, labels)
    for start, by_shift in (("test", drawn), ("deterministic", even_too)):
        if by_shift:
            metrics[f"{start}_consistency"] = float(np.mean(list(by_shift.values())))
            metrics[f"{start}_consistency_by_shift"] = by_shift
    kept = {name: _as_kept(settings.predictions, array) for name, array in predictions.items()} | {"labels": labels}
    return kept, metrics, time.perf_counter() - began


def _of_views(program: Program, settings: Settings, images: np.ndarray) -> dict[str, np.ndarray]:
    """Class probabilities averaged over the views: each view over regions drawn anew, and over even ones."""
    if settings.views is None:
        return {}
    found = {"views": _over_views(program.tested, settings.views, images)}
    even = found["views"] if program.even is None else _over_views(program.even, settings.views, images)
    return {**found, "even_views": even}


def _over_views(model: keras.Model, views: str, images: np.ndarray) -> np.ndarray:
    passes = []
    for weight, move, mirrored in VIEWS[views]:
        view = moved(images, *move, border="reflect")
        passes.append(np.float32(weight) * test_pass(model, view[:, :, ::-1] if mirrored else view))
    return np.sum(passes, axis=0)


def _consistency(model: keras.Model, images: np.ndarray, still: np.ndarray, furthest: int) -> dict[str, float]:
    """Of 1 to `furthest` pixels, the share of images whose class stays when they move so far, up, down, left or right.

    After Zhang, Making convolutional networks shift-invariant again, arXiv 1904.11486; `still` are the probabilities of
    the images in their place. {} for 0.
    """
    classes = still.argmax(axis=1)

    def kept(rows: int, columns: int) -> float:
        found = test_pass(model, moved(images, rows, columns, border="reflect"))
        return float((found.argmax(axis=1) == classes).mean())

    return {
        str(pixels): float(np.mean([kept(*move) for move in ((-pixels, 0), (pixels, 0), (0, -pixels), (0, pixels))]))
        for pixels in range(1, furthest + 1)
    }


def _moves(furthest: int, count: int) -> list[tuple[int, int]]:
    """Rows and columns to move images by, one pair per pass: none, then the nearest first; all none for 0."""
    line = range(-furthest, furthest + 1)
    nearest = sorted(((i, j) for i in line for j in line), key=lambda move: (move[0] ** 2 + move[1] ** 2, move))
    return nearest[:count] if furthest else nearest * count


def moved(images: np.ndarray, rows: int, columns: int, border: Border = "constant") -> np.ndarray:
    """The images (n, height, width, channels) moved down and to the right; what comes in is 0, or the border's
    reflection."""
    top, bottom, left, right = max(rows, 0), max(-rows, 0), max(columns, 0), max(-columns, 0)
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (top, bottom), (left, right), (0, 0)), mode=border)
    return padded[:, bottom : bottom + height, right : right + width]


def _as_kept(form: str, probabilities: np.ndarray) -> np.ndarray:
    """What a record keeps of (images, classes) probabilities: them, or the most probable class of each image.

    Where rounding makes the most probable class one of several, it is raised to the next float16: the class chosen by
    what is kept is then the one that the accuracies count.
    """
    if form == "probabilities":
        kept, chosen = probabilities.astype(np.float16), probabilities.argmax(axis=1)
        tied = np.flatnonzero(kept.argmax(axis=1) != chosen)
        kept[tied, chosen[tied]] = np.nextafter(kept[tied].max(axis=1, initial=0), np.float16(np.inf))
        return kept
    return probabilities.argmax(axis=1).astype(np.uint8)
