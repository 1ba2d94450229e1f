"""Finding F1, by numbers: do the two extra outputs of `tf.nn.fractional_max_pool` need any handling?

One run differentiates the op as a user would, through a tape and without touching the sequences, and compares
that gradient with central finite differences of the op itself (its `seed` freezes the regions, which makes it
a function), with TensorFlow's raw gradient op, and with fracpool's op. Then it feeds wrong sequences to a
gradient that believes them, to measure what there was to get wrong.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from fracpool.pooling.functions import max_pool_regions
from fracpool.records.record import Record
from fracpool.records.store import Store
from fracpool.settings.architecture import Network
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import PoolSettings, Settings
from fracpool.training.provenance import describe, now
from fracpool.training.reporter import Reporter

SIDE, CHANNELS = 13, 2
STEP = 1e-3  # of finite differences; the inputs lie 1e-2 apart, so no maximum changes hands
TOLERANCE = 1e-6  # relative; float64 differences of a piecewise linear function err by about 1e-12
TRIES = 100


def run(settings: Settings, run_id: str, network: Network, store: Store, reporter: Reporter) -> Record:
    """Carries out the check and writes its record."""
    began, started = time.perf_counter(), now()
    metrics = measure(settings.pool, settings.seed)
    return store.write(
        {
            **describe(settings, run_id, network),
            "status": "completed",
            "error": None,
            "metrics": metrics,
            "timings": {"overhead_seconds": time.perf_counter() - began},
            "data": {},
            "started": started,
            "finished": now(),
        }
    )


def measure(pool: PoolSettings, seed: int) -> dict[str, Any]:
    """Relative errors of the gradient: largest difference over the largest gradient.

    `fracpool_error` compares fracpool's op with TensorFlow's. The errors of swapped (rows for columns) and of
    shifted sequences (one boundary moved by one cell) are what a wrong handling would cost;
    `wrong_sequences_refused` says whether TensorFlow's raw gradient op notices them.
    """
    rng = np.random.default_rng(seed)
    value = tf.constant(_distinct_values(rng))
    op, rows, columns = _frozen_op(pool, rng, value)
    with tf.GradientTape() as tape:
        tape.watch(value)
        output = op(value)[0]
        weights = tf.constant(rng.normal(size=output.shape))
        total = tf.reduce_sum(output * weights)
    gradient = tape.gradient(total, value)
    pass_back = partial(_fracpool_gradient, value, weights, bool(pool.overlapping))
    raw = partial(_raw_gradient, value, output, weights, bool(pool.overlapping))
    shifted = _shifted(rows), _shifted(columns)
    return {
        "finite_difference_error": _error(_finite_differences(op, value, weights), gradient),
        "raw_op_error": _error(raw(rows, columns), gradient),
        "fracpool_error": _error(pass_back(rows, columns), gradient),
        "swapped_sequences_error": _error(pass_back(columns, rows), gradient),
        "shifted_sequences_error": _error(pass_back(*shifted), gradient),
        "wrong_sequences_refused": _is_refused(raw, columns, rows) and _is_refused(raw, *shifted),
        "tolerance": TOLERANCE,
    }


def _distinct_values(rng: np.random.Generator) -> np.ndarray:
    cells = SIDE * SIDE * CHANNELS
    return (rng.permutation(cells) / 100.0).reshape(1, SIDE, SIDE, CHANNELS)


def _frozen_op(pool: PoolSettings, rng: np.random.Generator, value: tf.Tensor) -> tuple[Any, Any, Any]:
    """TensorFlow's op with regions that stay, and its row and column sequences, which differ."""
    for _ in range(TRIES):
        op = partial(
            tf.nn.fractional_max_pool,
            pooling_ratio=[1.0, pool.ratio, pool.ratio, 1.0],
            pseudo_random=bool(pool.pseudo_random),
            overlapping=bool(pool.overlapping),
            seed=int(rng.integers(1, 2**31 - 1)),
        )
        _, rows, columns = op(value)
        if not np.array_equal(rows, columns):
            return op, rows, columns
    raise SettingsError(
        f"pool.ratio={pool.ratio}: must leave a choice of regions to be checked; take one that is no whole number, "
        "e.g. 1.47"
    )


def _finite_differences(op: Any, value: tf.Tensor, weights: tf.Tensor) -> np.ndarray:
    """Central differences for all inputs at once: each image of a batch has one cell moved."""
    cells = int(tf.size(value))
    moves = STEP * np.eye(cells).reshape(cells, *value.shape[1:])
    above, below = (tf.reduce_sum(op(value + sign * moves)[0] * weights, axis=(1, 2, 3)) for sign in (1, -1))
    return ((above - below) / (2 * STEP)).numpy().reshape(value.shape)


def _raw_gradient(value: Any, output: Any, weights: Any, overlapping: bool, rows: Any, columns: Any) -> Any:
    return tf.raw_ops.FractionalMaxPoolGrad(
        orig_input=value,
        orig_output=output,
        out_backprop=weights,
        row_pooling_sequence=rows,
        col_pooling_sequence=columns,
        overlapping=overlapping,
    )


def _fracpool_gradient(value: Any, weights: Any, overlapping: bool, rows: Any, columns: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(value)
        total = tf.reduce_sum(max_pool_regions(value, rows, columns, overlapping) * weights)
    return tape.gradient(total, value)


def _shifted(boundaries: Any) -> Any:
    """One inner boundary moved by one cell."""
    moved = np.array(boundaries)
    movable = np.flatnonzero(np.diff(moved)[1:] > 1) + 1
    moved[movable[len(movable) // 2]] += 1
    return tf.constant(moved)


def _is_refused(gradient: Any, rows: Any, columns: Any) -> bool:
    try:
        gradient(rows, columns)
    except tf.errors.InvalidArgumentError:
        return True
    return False


def _error(found: Any, expected: Any) -> float:
    return float(np.max(np.abs(np.subtract(found, expected))) / np.max(np.abs(expected)))
