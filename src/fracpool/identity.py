"""Which run is which: the id of a run and of its variant, and the fingerprint of the code that made it.

The id hashes everything that changes the result and nothing else: the settings that reach the training, the
data's fingerprint, the seed, and RESULTS_VERSION. A comment, a path, a log level or a worker count does not.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from fracpool import architecture, environment, own, paths, poolings
from fracpool.records import RECORD_SCHEMA, digest
from fracpool.settings import BudgetSettings, ModelSettings, OptimizerSettings, Settings, TrainerSettings, test_passes

# Raise this when a change alters what a run computes: records made before are then not taken for new ones.
# tests/test_identity.py holds the fingerprint of the code that this number stands for.
RESULTS_VERSION = 1

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
COMPUTING_MODULES = (
    "regions",
    "geometry",
    "pooling",
    "kept_regions",
    "pool_layers",
    "ops",
    "poolings",
    "function_layer",
    "architecture",
    "models",
    "batch_norm",
    "convolution",
    "normalized_pool",
    "datasets",
    "devices",
    "distortion",
    "sample",
    "together",
    "training",
    "gradient",
)


def config(settings: Settings) -> dict[str, Any]:
    """The settings that change the result, without the seed, as they stand in the record."""
    pool = {"kind": settings.pool.kind}
    pool |= {name: getattr(settings.pool, name) for name in poolings.of(settings.pool).settings}
    if settings.pool.layer:  # what a name means is in the user's hands: other code makes another run
        pool["code"] = digest(_code(own.source("pool.layer", settings.pool.layer)))
    if settings.task == "gradient":
        return {"task": "gradient", "pool": pool}
    passes, shift = test_passes(settings)
    backend, held_out = environment.backend(), settings.dataset.held_out
    return {
        "task": settings.task,
        "dataset": {"name": settings.dataset.name, **({"held_out": held_out} if held_out else {})},
        "pool": pool,
        "model": asdict(settings.model),
        "optimizer": asdict(settings.optimizer),
        "budget": asdict(settings.budget),
        "repeats": passes,
        **({"test_shift": shift} if shift else {}),
        **({"backend": backend} if backend != "tensorflow" else {}),
        **({"trainer": _trainer(settings.trainer)} if settings.trainer.strategy != "single" else {}),
    }


def _trainer(trainer: TrainerSettings) -> dict[str, Any]:
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


def overrides(settings: Settings) -> list[str]:
    """The command-line overrides of `fracpool.train` that repeat the run."""
    groups: dict[str, tuple[str, Any]] = {
        "dataset": (settings.dataset.name, settings.dataset),
        "pool": ("max" if settings.pool.layer else settings.pool.kind, settings.pool),
        "model": (settings.model.name, settings.model),
        "optimizer": (settings.optimizer.name, settings.optimizer),
        "budget": ("standard", settings.budget),
    }
    if settings.task == "gradient":
        groups = {"pool": groups["pool"]}
    found = [] if settings.task == "train" else [f"task={settings.task}"]
    for group, (option, chosen) in groups.items():
        file, usual = _option(group, option, type(chosen))
        found += [f"{group}={option}"] if file else []
        found += [
            f"{group}.{name}={override_value(value)}"
            for name, value in asdict(chosen).items()
            if value != usual[name] and name not in ("data_dir", "arguments")
        ]
    found += [f"++pool.arguments.{name}={override_value(value)}" for name, value in settings.pool.arguments.items()]
    found += [f"repeats={settings.repeats}"] if settings.task == "train" else []
    found += [f"test_shift={settings.test_shift}"] if settings.test_shift else []
    if settings.trainer.strategy != "single":
        found += [f"trainer.{name}={override_value(value)}" for name, value in _trainer(settings.trainer).items()]
    return [*found, f"seed={settings.seed}"]


def _option(group: str, option: str, kind: type) -> tuple[bool, dict[str, Any]]:
    """Whether configs/ has the option, and its values (the schema's where it has none)."""
    values: dict[str, Any] = asdict(kind())
    file = paths.configs() / group / f"{option}.yaml"
    if not file.is_file():
        return False, values
    own = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    for base in own.pop("defaults", []):
        values |= _option(group, base, kind)[1]
    return True, values | own


def override_value(value: Any) -> str:
    """A value as an override has it: null, true, [32,64]."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")


def label(settings: Settings) -> str:
    """A variant as tables call it: "2 conv, FMP 1.47 random"."""
    pool = poolings.of(settings.pool).label(settings.pool)
    if settings.task == "gradient":
        return f"gradient of {pool}"
    model = settings.model
    if model.k is not None:
        mode = pool.partition(f"{settings.pool.ratio:.4g} ")[2]
        norm = ["batch norm"] if model.batch_norm else []
        dropout = [f"dropout to {max(model.dropout_ramp):g}"] if any(model.dropout_ramp) else []
        return ", ".join([architecture.notation(model, settings.pool), mode, *norm, *dropout, *_of_training(settings)])
    pools = "" if model.pools in (None, model.conv_layers) else f"{model.pools} × "
    extras = [
        *(["batch norm"] if model.batch_norm else []),
        *([f"dropout {model.dropout:g}"] if model.dropout else []),
        *_of_training(settings),
        *(["1×1 convolutions"] if model.pointwise else []),
        *([f"padded to {model.pad_to}×{model.pad_to}"] if model.pad_to else []),
        *([f"mirrored on {settings.trainer.devices} devices"] if settings.trainer.strategy == "mirrored" else []),
        *(["seeds together"] if settings.trainer.strategy == "seeds" else []),
    ]
    return ", ".join([f"{model.conv_layers} conv", f"{pools}{pool}", *extras])


def _of_training(settings: Settings) -> list[str]:
    model = settings.model
    images = ["distorted images"] if model.distort else ["centred images"] if model.centre else []
    averaged = ["averaged weights"] if settings.optimizer.average else []
    return [*images, *averaged, *(["on held-out images"] if settings.dataset.held_out else [])]


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Hash of the modules that compute results, blind to comments, docstrings and layout."""
    whole = hashlib.sha256()
    package = Path(__file__).parent
    for name in COMPUTING_MODULES:
        for file in sorted([package / f"{name}.py", *(package / name).glob("*.py")]):
            if file.is_file():
                whole.update(f"{file.name}\n{_code(file)}\n".encode())
    return whole.hexdigest()[:16]


def _code(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return repr(_structure(tree))


def _structure(part: Any) -> Any:
    """A syntax tree as tuples. Fields without a value are left out: which of them there are depends on the version of
    Python, as does the text that a tree is written as."""
    if isinstance(part, list):
        return [_structure(each) for each in part]
    if not isinstance(part, ast.AST):
        return part
    fields = [(name, _structure(value)) for name, value in ast.iter_fields(part) if value not in (None, [])]
    return type(part).__name__, fields


def _readable(settings: Settings) -> str:
    pool = poolings.of(settings.pool).label(settings.pool).lower().replace("×", "x")
    slug = re.sub(r"[^\w.]+", "-", pool.replace("max pool", "max"))[:80]
    if settings.task == "gradient":
        return f"gradient-{slug}"
    model, budget = settings.model, settings.budget
    return f"{settings.dataset.name}-{model.name}{model.conv_layers}-{slug}-e{budget.epochs}"
