"""The command line that repeats a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fracpool.settings import config_files
from fracpool.settings.config_files import override_value
from fracpool.settings.identity import trainer_config
from fracpool.settings.schema import Settings


def overrides(settings: Settings) -> list[str]:
    """The command-line overrides of `fracpool.train` that repeat the run."""
    groups: dict[str, tuple[str, Any]] = {
        "dataset": (settings.dataset.name, settings.dataset),
        "pool": ("max" if settings.pool.layer else settings.pool.kind, settings.pool),
        "model": (settings.model.name, settings.model),
        "optimizer": (settings.optimizer.name, settings.optimizer),
        "budget": ("standard", settings.budget),
        "augmentation": ("none", settings.augmentation),
    }
    if settings.task == "gradient":
        groups = {"pool": groups["pool"]}
    found = [] if settings.task == "train" else [f"task={settings.task}"]
    for group, (option, chosen) in groups.items():
        file, usual = config_files.option(group, option, type(chosen))
        found += [f"{group}={option}"] if file and option != "none" else []
        found += [
            f"{group}.{name}={override_value(value)}"
            for name, value in asdict(chosen).items()
            if value != usual[name] and name not in ("data_dir", "arguments")
        ]
    found += [f"++pool.arguments.{name}={override_value(value)}" for name, value in settings.pool.arguments.items()]
    found += [f"repeats={settings.repeats}"] if settings.task == "train" else []
    found += [f"test_shift={settings.test_shift}"] if settings.test_shift else []
    found += [f"consistency_shift={settings.consistency_shift}"] if settings.consistency_shift else []
    found += [f"views={settings.views}"] if settings.views else []
    found += [f"precision={settings.precision}"] if settings.precision != "float32" else []
    if settings.trainer.strategy != "single":
        found += [f"trainer.{name}={override_value(value)}" for name, value in trainer_config(settings.trainer).items()]
    return [*found, f"seed={settings.seed}"]
