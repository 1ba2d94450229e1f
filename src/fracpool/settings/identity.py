"""Which run is which: the id of a run and of its variant.

The id hashes everything that changes the result and nothing else: the settings that reach the training, the
data's fingerprint, the seed, and RESULTS_VERSION. A comment, a path, a log level or a worker count does not.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from fracpool.records import environment
from fracpool.records.record import RECORD_SCHEMA, digest
from fracpool.settings import poolings, users_modules
from fracpool.settings.check import test_passes
from fracpool.settings.schema import BudgetSettings, ModelSettings, OptimizerSettings, Settings, TrainerSettings
from fracpool.settings.source_code import code

# Raise this when a change alters what a run computes: records made before are then not taken for new ones.
# tests/settings/test_identity.py holds the fingerprint of the code that this number stands for.
RESULTS_VERSION = 1
OWN_WEIGHTS = 3  # the same for layers of the user's own alone; 3: each weight's initializer draws by itself


def config(settings: Settings) -> dict[str, Any]:
    """The settings that change the result, without the seed, as they stand in the record."""
    pool = {"kind": settings.pool.kind}
    known = [name for name in poolings.of(settings.pool).settings if name != "match"]  # which is a ratio by now
    pool |= {name: getattr(settings.pool, name) for name in known}
    if settings.pool.layer:  # what a name means is in the user's hands: other code makes another run
        pool["code"] = digest([OWN_WEIGHTS, code(users_modules.source("pool.layer", settings.pool.layer))])
    if settings.task == "gradient":
        return {"task": "gradient", "pool": pool}
    passes, shift = test_passes(settings)
    backend, held_out = settings.backend or environment.backend(), settings.dataset.held_out
    numerics = environment.numerics(backend)
    augmentation = {name: value for name, value in asdict(settings.augmentation).items() if value}
    precision = settings.precision
    return {
        "task": settings.task,
        "dataset": {"name": settings.dataset.name, **({"held_out": held_out} if held_out else {})},
        "pool": pool,
        "model": asdict(settings.model),
        "optimizer": asdict(settings.optimizer),
        "budget": asdict(settings.budget),
        **({"augmentation": augmentation} if augmentation else {}),
        "repeats": passes,
        **({"test_shift": shift} if shift else {}),
        **({"consistency_shift": settings.consistency_shift} if settings.consistency_shift else {}),
        **({"views": settings.views} if settings.views else {}),
        **({"precision": precision} if precision != "float32" else {}),
        **({"backend": backend, "order": "numpy"} if backend != "tensorflow" else {}),  # of the images in an epoch
        **({"variables": numerics} if numerics else {}),
        **({"trainer": trainer_config(settings.trainer)} if settings.trainer.strategy != "single" else {}),
    }


def trainer_config(trainer: TrainerSettings) -> dict[str, Any]:
    """How many seeds share a program changes nothing: each has all of its own."""
    return {"strategy": trainer.strategy, **({"devices": trainer.devices} if trainer.strategy == "mirrored" else {})}


def variant_id(settings: Settings) -> str:
    return digest({"schema": RECORD_SCHEMA, "results": RESULTS_VERSION, "config": _unusual(config(settings))})


def _unusual(whole: dict[str, Any]) -> dict[str, Any]:
    """A config without the fields that have their default, so that a field that comes later, whose default
    changes nothing, leaves the ids of earlier runs as they are."""
    kept = dict(whole)
    for group, kind in (("model", ModelSettings), ("optimizer", OptimizerSettings), ("budget", BudgetSettings)):
        if group in whole:
            usual = asdict(kind())
            kept[group] = {name: value for name, value in whole[group].items() if value != usual[name]}
    kept["pool"] = {name: value for name, value in whole["pool"].items() if value not in (None, False)}
    return kept


def run_id(settings: Settings, data_fingerprint: str) -> str:
    """Readable, then the hash: mnist5k-plain2-fmp-1.47-random-e10-s0-0123456789abcdef."""
    identity = {"variant": variant_id(settings), "data": data_fingerprint, "seed": settings.seed}
    return f"{_readable(settings)}-s{settings.seed}-{digest(identity)}"


def _readable(settings: Settings) -> str:
    pool = poolings.of(settings.pool).label(settings.pool).lower().replace("×", "x")
    slug = re.sub(r"[^\w.]+", "-", pool.replace("max pool", "max"))[:80]
    if settings.task == "gradient":
        return f"gradient-{slug}"
    model, budget = settings.model, settings.budget
    return f"{settings.dataset.name}-{model.name}{model.conv_layers}-{slug}-e{budget.epochs}"
