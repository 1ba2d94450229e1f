"""Synthetic results folders whose truth is known: records as the trainer writes them, without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fracpool.records.record import digest
from fracpool.records.store import Store

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
COMMAND = "python -m fracpool.train -m +experiment={} profile=quick"


def config(
    pool: str = "max",
    ratio: float = 1.47,
    conv_layers: int = 2,
    pools: int | None = None,
    pseudo_random: bool = False,
    dataset: str = "mnist5k",
    epochs: int = 3,
    **model: Any,
) -> dict[str, Any]:
    """The config part of a record, as fracpool.settings.identity.config makes it."""
    fmp = {
        "ratio": ratio,
        "pseudo_random": pseudo_random,
        "overlapping": False,
        "window": None,
        "regions_per": "batch",
    }
    return {
        "task": "train",
        "dataset": {"name": dataset},
        "pool": {"kind": pool, **(fmp if pool == "fmp" else {})},
        "model": {
            "name": "plain",
            "conv_layers": conv_layers,
            "pools": pools,
            "filters": [32, 64],
            "kernel": 3,
            "pad_to": None,
            "batch_norm": False,
            "batch_norm_momentum": 0.99,
            "activation": "elu",
            "dropout": 0.0,
            "dense": [128],
            "dense_dropout": 0.0,
            **model,
        },
        "optimizer": {"name": "adam", "learning_rate": 0.001, "momentum": 0.9, "schedule": "constant", "decay": 0.0},
        "budget": {"epochs": epochs, "train_examples": None, "batch_size": 100},
        "repeats": 8 if pool == "fmp" else 1,
    }


def label(settings: Mapping[str, Any]) -> str:
    pool, model = settings["pool"], settings.get("model", {})
    words = "max pool"
    if pool["kind"] == "fmp":
        words = f"FMP {pool['ratio']:.4g} " + ("pseudorandom" if pool["pseudo_random"] else "random")
        words += " overlapping" if pool["overlapping"] else ""
    if settings["task"] == "gradient":
        return f"gradient of {words}"
    pools = "" if model["pools"] in (None, model["conv_layers"]) else f"{model['pools']} × "
    return f"{model['conv_layers']} conv, {pools}{words}"


def geometry(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Layers with sizes as TensorFlow floors them; None where the map gets too small."""
    side, channels = (32, 3) if settings["dataset"]["name"] == "cifar10" else (28, 1)
    model, pool = settings["model"], settings["pool"]
    ratio = pool.get("ratio", 2.0)
    depth, pools = model["conv_layers"], model["pools"] or model["conv_layers"]
    layers = [_layer("input", "input", side, channels)]
    for number in range(1, depth + 1):
        filters = model["filters"][(number - 1) * len(model["filters"]) // depth]
        weights = 9 * channels * filters
        layers.append(_layer(f"conv{number}", "conv", side, filters, filters, weights + filters, weights * side**2))
        channels = filters
        if number * pools // depth > (number - 1) * pools // depth:
            side = int(np.float32(side) / np.float32(ratio))
            if side < 1:
                return {}
            layers.append(_layer(f"pool{number}", "pool", side, channels))
    features = side * side * channels
    layers.append(_layer("flatten", "flatten", 1, features))
    for name, units in (("dense1", 128), ("logits", 10)):
        layers.append(_layer(name, "dense", 1, units, units, (features + 1) * units, features * units))
        features = units
    return {
        "layers": layers,
        "final_height": side,
        "final_width": side,
        "parameters": sum(layer["parameters"] for layer in layers),
        "macs": sum(layer["macs"] for layer in layers),
    }


def _layer(
    name: str, kind: str, side: int, channels: int, units: int = 0, parameters: int = 0, macs: int = 0
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "height": side,
        "width": side,
        "channels": channels,
        "units": units,
        "parameters": parameters,
        "macs": macs,
    }


def run_id(settings: Mapping[str, Any], seed: int) -> str:
    return f"run-s{seed}-{digest({'config': settings, 'seed': seed})}"


def write_run(
    root: Path,
    settings: Mapping[str, Any],
    seed: int,
    accuracy: float,
    *,
    early: float | None = None,
    averaged: float | None = None,
    even: float | None = None,
    status: str = "completed",
    test_images: int = 200,
    **changes: Any,
) -> str:
    """Writes one run whose final accuracy is `accuracy` and whose first epoch had `early`; returns its id."""
    rng = np.random.default_rng([seed, int(digest(settings), 16) % 2**32])
    done = status == "completed"
    epochs = settings["budget"]["epochs"]
    early = 0.8 * accuracy if early is None else early
    curve = [accuracy + (early - accuracy) * (1 - e / max(1, epochs - 1)) ** 2 for e in range(epochs)]
    history = [
        {
            "epoch": e + 1,
            "step": 40 * (e + 1),
            "examples": 4000 * (e + 1),
            "train_loss": 1.0 / (e + 1),
            "train_accuracy": value,
            "test_loss": 1.1 / (e + 1),
            "test_accuracy": value,
            "seconds": 1.5,
        }
        for e, value in enumerate(curve)
    ]
    metrics: dict[str, Any] = {"test_accuracy": None, "test_error": None}
    predictions = None
    if done:
        averaged = accuracy if averaged is None else averaged
        metrics = {
            "test_accuracy": accuracy,
            "test_error": 1 - accuracy,
            "test_loss": 0.1,
            "averaged_accuracy": averaged,
            "accuracy_by_repeats": {"1": accuracy, str(settings["repeats"]): averaged},
            "repeats": settings["repeats"],
            "deterministic_accuracy": averaged if even is None else even,
            "train_loss": 0.05,
        }
        predictions = _predictions(rng, accuracy, averaged, test_images)
    error = None if done else {"type": "Diverged", "message": "the training loss was nan in epoch 2"}
    data = {
        **_common(settings, seed),
        "status": status,
        "error": error,
        "geometry": geometry(settings),
        "metrics": metrics,
        "timings": {
            "train_seconds": 1.5 * epochs,
            "seconds_per_epoch": 1.5,
            "compile_seconds": 0.7,
            "test_seconds": 0.2,
            "overhead_seconds": 0.3,
        },
        "data": {
            "name": settings["dataset"]["name"],
            "version": "1",
            "fingerprint": "d" * 16,
            "train_examples": 4000,
            "test_examples": test_images,
        },
        **changes,
    }
    Store(root).write(data, history if done else history[:1], predictions)
    return str(data["run_id"])


def _common(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {
        "run_id": run_id(settings, seed),
        "variant_id": digest(settings),
        "label": label(settings),
        "seed": seed,
        "config": settings,
        "environment": {
            "python": "3.11.2",
            "platform": "Linux x86_64",
            "cpu": "a processor",
            "cores": 2,
            "backend": "tensorflow",
            "fracpool": "0.1.0",
            "commit": "0123456789ab",
            "tensorflow": "2.21.0",
            "keras": "3.15.0",
            "numpy": "2.4.0",
        },
        "code_fingerprint": "c" * 16,
        "started": "2026-11-24T12:00:00+00:00",
        "finished": f"2026-11-24T12:01:{seed % 60:02d}+00:00",
        "command": f"python -m fracpool.train seed={seed}",
    }


def _predictions(rng: np.random.Generator, accuracy: float, averaged: float, images: int) -> dict[str, np.ndarray]:
    """Probabilities that class just the wanted share of the images rightly."""
    labels = (np.arange(images) % 10).astype(np.uint8)
    hardness = np.random.default_rng(0).permutation(images)  # the same images are hard for every run
    order = np.argsort(hardness + rng.normal(0, images / 50, images))
    return {
        "one_pass": _probabilities(labels, order, accuracy),
        "averaged": _probabilities(labels, order, averaged),
        "deterministic": _probabilities(labels, order, averaged),
        "labels": labels,
    }


def _probabilities(labels: np.ndarray, order: np.ndarray, accuracy: float) -> np.ndarray:
    chosen = labels.copy()
    wrong = order[round(accuracy * len(labels)) :]
    chosen[wrong] = (labels[wrong] + 1) % 10
    probabilities = np.full((len(labels), 10), 0.02, np.float16)
    probabilities[np.arange(len(labels)), chosen] = 0.82
    return probabilities


def gradient_config(pseudo_random: bool, overlapping: bool) -> dict[str, Any]:
    pool = config("fmp", pseudo_random=pseudo_random)["pool"] | {"overlapping": overlapping}
    return {"task": "gradient", "pool": pool}


def write_gradient_run(root: Path, settings: Mapping[str, Any], seed: int, error: float = 1e-12) -> str:
    metrics = {
        "finite_difference_error": error,
        "raw_op_error": 0.0,
        "fracpool_error": 0.0,
        "swapped_sequences_error": 0.7,
        "shifted_sequences_error": 0.9,
        "tolerance": 1e-6,
    }
    data = {
        **_common(settings, seed),
        "status": "completed",
        "error": None,
        "geometry": {},
        "metrics": metrics,
        "timings": {"train_seconds": None},
        "data": {},
    }
    Store(root).write(data)
    return str(data["run_id"])


def write_sweep(
    root: Path,
    name: str,
    variants: Sequence[Mapping[str, Any]],
    runs: Sequence[str],
    findings: Any = None,
    /,
    **changes: Any,
) -> None:
    """A sweep file; its findings are those of experiments/NAME.yaml unless others are given."""
    described = yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())["experiment"] if findings is None else {}
    Store(root).write_sweep(
        name,
        {
            "experiment": name,
            "title": described.get("title", name),
            "question": described.get("question", ""),
            "findings": described.get("findings", {}) if findings is None else findings,
            "written": "2026-11-24T12:30:00+00:00",
            "command": COMMAND.format(name),
            "commit": "0123456789ab",
            "variants": [
                {
                    "variant_id": digest(c),
                    "label": label(c),
                    "config": c,
                    "geometry": geometry(c) if "model" in c else {},
                }
                for c in variants
            ],
            "runs": list(runs),
            "older": [],
            "impossible": [],
            "not_run": None,
            **changes,
        },
    )


def sweep(
    root: Path,
    name: str,
    variants: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    truth: Callable[[Mapping[str, Any], np.random.Generator], dict[str, Any]],
    findings: Any = None,
    **changes: Any,
) -> list[str]:
    """Runs of all variants and seeds; `truth` says what a run of a config came to (see write_run)."""
    possible = [c for c in variants if geometry(c)]
    runs = [
        write_run(root, c, seed, **truth(c, np.random.default_rng([seed, i])))
        for i, c in enumerate(possible)
        for seed in seeds
    ]
    reason = "its map is 1×1, too small to pool"
    impossible = [{"label": label(c), "reason": reason} for c in variants if not geometry(c)]
    write_sweep(root, name, possible, runs, findings, impossible=impossible, **changes)
    return runs


# ---- a whole quick profile ----


def _quick_truth(settings: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """FMP loses 5 points at once and 1.2 at the end; a further layer mends it; more depth helps a little."""
    depth, fmp = settings["model"]["conv_layers"], settings["pool"]["kind"] == "fmp"
    final, early = 0.962 + 0.004 * min(depth, 4), 0.90
    if fmp:
        shuffled = not settings["pool"]["pseudo_random"]
        final -= {1: 0.02, 2: 0.012}.get(depth, 0.002) * (1.0 if shuffled else 0.4)
        early -= {1: 0.2, 2: 0.17}.get(depth, 0.08) * (1.0 if shuffled else 0.4)
    if settings["model"]["batch_norm"]:
        final, early = final - 0.005, 0.3
    final += rng.normal(0, 0.002)
    return {"accuracy": final, "early": early + rng.normal(0, 0.01), "averaged": final + (0.006 if fmp else 0.0)}


def quick(root: Path) -> Path:
    """Every experiment of the quick profile, about 100 runs, with one diverged run and one missing."""
    pools: list[dict[str, Any]] = [{"pool": "max"}, {"pool": "fmp"}, {"pool": "fmp", "pseudo_random": True}]
    swap = [config(**p, conv_layers=d, epochs=10) for d in (2, 3) for p in pools]
    runs = sweep(root, "mnist_swap", swap, range(5), _quick_truth)
    write_sweep(root, "mnist_swap", swap, [*runs, "mnist5k-fmp-s5-0000000000000000"])
    write_run(root, swap[3], 4, 0.5, status="diverged")

    grid = [config("max", conv_layers=d, epochs=5) for d in (1, 2, 3, 4, 6)]
    grid += [config("fmp", ratio, conv_layers=d, epochs=5) for ratio in (1.26, 1.41, 1.59) for d in (1, 2, 3, 4, 6)]
    sweep(root, "depth_ratio", grid, range(3), _quick_truth)

    asker = [
        config(kind, batch_norm=norm, dropout=dropout, epochs=5, name="asker")
        for kind in ("max", "fmp")
        for norm in (False, True)
        for dropout in (0.0, 0.25)
    ]
    sweep(root, "asker", asker, range(3), _quick_truth)

    cifar = [
        config(kind, 1.4, conv_layers=depth, pools=pools_, dataset="cifar10", filters=[32, 64, 128])
        for kind, depth, pools_ in (("max", 3, 3), ("max", 6, 3), ("fmp", 3, 3), ("fmp", 6, 3), ("fmp", 6, 6))
    ]
    reason = "CIFAR-10 is not here, and TFDS has no network to fetch it; set TFDS_DATA_DIR to a prepared folder"
    write_sweep(root, "cifar10_depth", cifar, [run_id(c, s) for c in cifar for s in (0, 1)], not_run=reason)

    checks = [gradient_config(p, o) for p in (False, True) for o in (False, True)]
    write_sweep(root, "gradient", checks, [write_gradient_run(root, c, s) for c in checks for s in range(3)])
    return root
