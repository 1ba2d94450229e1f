"""What a test pass is measured by: shares between 0 and 1, the larger the better, and the loss."""

from __future__ import annotations

import numpy as np

BINS = 15  # of confidence, as in Guo et al.


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of class probabilities (n, classes)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, 1e-12)).mean()), float((probabilities.argmax(axis=1) == labels).mean())


def likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The geometric mean of the probabilities of the right classes: e to the power of minus the cross-entropy."""
    return float(np.exp(-score(probabilities, labels)[0]))


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """1 − expected calibration error: how near the probability of the chosen class is to the share of right choices.

    The error is |accuracy − mean probability| over BINS equal bins of probability, weighted by their images (Guo et
    al., On calibration of modern neural networks, arXiv 1706.04599, equation 3).
    """
    chosen = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((chosen * BINS).astype(int), BINS - 1)
    excess = np.bincount(bins, weights=right - chosen, minlength=BINS)
    return float(1 - np.abs(excess).sum() / len(labels))
