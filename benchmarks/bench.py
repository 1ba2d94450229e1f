"""Times fracpool beside its peers and holds the figures against floor and aim.

    python benchmarks/bench.py [--quick] [--output DIR]

Everything that is compared runs in one process, in turns, and a figure is the median of the ratios of the
turns; its spread is from the 25th to the 75th percentile. Run it on a machine that does nothing else. Writes
bench.json and bench.md.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import io
import itertools
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from fracpool import FractionalMaxPooling2D
from fracpool.settings import architecture, config_files, poolings
from fracpool.settings.schema import ModelSettings, PoolSettings
from fracpool.training import keras_network

# batch, side, channels, ratio: the first two pools of the 2-conv MNIST network, a CIFAR-10 and a Graham one
SHAPES = [(128, 28, 32, 1.47), (128, 19, 64, 1.47), (128, 32, 32, 1.4), (64, 36, 64, 2**0.5)]
FAR = (61, 23, 24, 1.3)  # a shape that nothing else here uses, for the time of a first call


@dataclass
class Row:
    """One figure. `value` is ours relative to the peer, in the sense that `measure` says.

    Attributes:
        better: "more" if floor and aim are lower limits, "less" if they are upper limits.
        backend: Which form of fracpool is measured.
        spread: 25th and 75th percentile over the repeats; None for what is measured once.
        ours, peer: Medians in `unit`.
    """

    measure: str
    case: str
    value: float | None
    floor: float
    aim: float
    better: str
    unit: str
    ours: float | None = None
    peer: float | None = None
    spread: tuple[float, float] | None = None
    repeats: int = 0
    note: str = ""
    backend: str = "tensorflow"

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "skipped"
        sign = 1 if self.better == "more" else -1
        if sign * self.value >= sign * self.aim:
            return "aim"
        return "floor" if sign * self.value >= sign * self.floor else "below"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats: a check that it runs, no result")
    parser.add_argument("--output", type=Path, default=Path("benchmarks"), help="folder for the two files")
    parser.add_argument("--peak-memory", choices=["fracpool", "tensorflow"], help=argparse.SUPPRESS)
    parser.add_argument("--on", choices=["torch", "jax"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak_memory:
        print(_peak_memory_of_training(given.peak_memory))
        return 0
    keep_freed_memory()
    repeats = 7 if given.quick else 60
    if given.on:
        rows = {"torch": _rows_on_torch, "jax": _rows_on_jax}[given.on](repeats)
        print(json.dumps([asdict(row) | {"backend": given.on} for row in rows]))
        return 0
    rows: list[Row] = []
    for measure in (
        first_call,
        ops_and_peers,
        torch_peer,
        other_backends,
        training,
        strong_network,
        peak_memory,
        harness,
        package,
    ):
        print(f"… {measure.__name__}", file=sys.stderr, flush=True)
        rows += measure(repeats)
    given.output.mkdir(parents=True, exist_ok=True)
    page = given.output / "bench.md"
    text = markdown(rows, given.quick) + on_a_gpu(page)
    table = [asdict(row) | {"verdict": row.verdict} for row in rows]
    result = {"machine": machine(), "quick": given.quick, "rows": table}
    (given.output / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    page.write_text(text)
    print(text)
    return 0


def keep_freed_memory() -> None:
    """Has glibc keep what is freed, as a training process' heap comes to do (no page fault per step was counted
    there). Else half of each figure here is the system clearing pages for the next call's output."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        most = 2**31 - 1
        libc.mallopt(-3, most // 2)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, most)  # M_TRIM_THRESHOLD


# Measures


def ops_and_peers(repeats: int) -> list[Row]:
    """Forward + backward of the pool alone."""
    rows = []
    for batch, side, channels, ratio in SHAPES:
        case = f"{batch}×{side}×{side}×{channels}, ratio {ratio:.3g}"
        x = tf.random.stateless_normal([batch, side, side, channels], seed=[1, 2])

        def ours(x: tf.Tensor = x, ratio: float = ratio, **options: Any) -> Callable[[], Any]:
            return _step(FractionalMaxPooling2D(ratio, seed=1, **options), x)

        def theirs(overlapping: bool, x: tf.Tensor = x, ratio: float = ratio) -> Callable[[], Any]:
            ratios = [1.0, ratio, ratio, 1.0]
            return _step(lambda x: tf.nn.fractional_max_pool(x, ratios, overlapping=overlapping)[0], x)

        times = _in_turns(
            {
                "ours": ours(),
                "tensorflow": theirs(False),
                "max pool": _step(keras.layers.MaxPooling2D(2), x),
                "per sample": ours(regions_per="sample"),
                "ours overlapping": ours(overlapping=True),
                "tensorflow overlapping": theirs(True),
                "x·2+1": tf.function(lambda x=x: x * 2 + 1),
            },
            repeats,
        )
        note = f"x·2+1 takes {np.median(times['x·2+1']):.2f} ms"
        rows += [
            _faster("TensorFlow's op, disjoint", case, times["ours"], times["tensorflow"], 5, 7, note),
            _faster(
                "TensorFlow's op, overlapping",
                case,
                times["ours overlapping"],
                times["tensorflow overlapping"],
                8,
                12,
            ),
            _slower("MaxPooling2D(2)", case, times["ours"], times["max pool"], 1.15, 1.0),
            _slower("per-batch regions, per sample", case, times["per sample"], times["ours"], 2, 1.3),
        ]
    return sorted(rows, key=lambda row: row.measure)


def torch_peer(repeats: int) -> list[Row]:
    measure = "torch.nn.FractionalMaxPool2d, 2×2 windows"
    if importlib.util.find_spec("torch") is None:
        note = "skipped: torch is not installed (fracpool[torch])"
        return [Row(measure, "", None, 2, 5, "more", "ms", note=note)]
    import torch

    rows = []
    for batch, side, channels, ratio in SHAPES[:2]:
        values = np.random.default_rng(0).normal(size=(batch, side, side, channels)).astype("float32")
        layer = FractionalMaxPooling2D(ratio, window=2, pseudo_random=True, regions_per="sample", seed=1)
        size = layer.compute_output_shape(values.shape)[1]
        their_layer = torch.nn.FractionalMaxPool2d(2, output_size=size)
        their_x = torch.tensor(np.ascontiguousarray(values.transpose(0, 3, 1, 2)), requires_grad=True)
        their_dy = torch.ones(batch, channels, size, size)

        def theirs(layer: Any = their_layer, x: Any = their_x, dy: Any = their_dy) -> Any:
            return torch.autograd.grad(layer(x), x, dy)

        times = _in_turns({"ours": _step(layer, tf.constant(values)), "torch": theirs}, repeats)
        case = f"{batch}×{side}×{side}×{channels}, ratio {ratio:.3g}"
        note = f"torch with {torch.get_num_threads()} threads, NCHW"
        rows.append(_faster(measure, case, times["ours"], times["torch"], 2, 5, note))
    return rows


def other_backends(repeats: int) -> list[Row]:
    """Our forms for PyTorch and JAX beside the pools of these, each in a process of its own."""
    rows = []
    for backend in ("torch", "jax"):
        if importlib.util.find_spec(backend) is None:
            note = f"skipped: {backend} is not installed (fracpool[{backend}])"
            rows.append(Row(f"beside the pools of {backend}", "", None, 1, 1, "more", "ms", note=note, backend=backend))
            continue
        command = [sys.executable, __file__, "--on", backend, *(["--quick"] if repeats < 10 else [])]
        printed = subprocess.check_output(command, text=True, env={**os.environ, "KERAS_BACKEND": backend})
        rows += [Row(**row) for row in json.loads(printed.splitlines()[-1])]
    return rows


def _rows_on_jax(repeats: int) -> list[Row]:
    import jax
    from jax import numpy as jnp

    def two_by_two(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def step(pool: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
        def both(x: Any, dy: Any) -> Any:
            y, backward = jax.vjp(pool, x)
            return y, backward(dy)

        compiled, dy = jax.jit(both), jnp.ones_like(pool(x))
        return lambda: jax.block_until_ready(compiled(x, dy))

    rows = []
    for batch, side, channels, ratio in SHAPES[:2]:
        x = jax.random.normal(jax.random.key(0), (batch, side, side, channels))
        layer = FractionalMaxPooling2D(ratio, seed=1, data_format="channels_last")
        calls = {
            "ours": step(
                lambda x, layer=layer: layer.stateless_call([], [v.value for v in layer.non_trainable_variables], x)[0],
                x,
            )
        }
        times = _in_turns({**calls, "theirs": step(two_by_two, x)}, repeats)
        case = f"{batch}×{side}×{side}×{channels}, ratio {ratio:.3g}"
        rows.append(_slower("lax.reduce_window 2×2", case, times["ours"], times["theirs"], 1, 0.8))
    return rows


def _rows_on_torch(repeats: int) -> list[Row]:
    """Forward + backward with one and with two threads, like for like: PyTorch's 2×2 windows in fractional places are
    fixed ones per channel, NCHW its layout. NHWC is Keras' default, as is one set of disjoint windows for a batch."""
    import torch

    def step(pool: Callable[[Any], Any], x: Any, dy: Any) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(pool(x), x, dy)

    def values(pool: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: pool(x)[0]

    rows = []
    for (batch, side, channels, ratio), dtype, threads in itertools.product(
        SHAPES[:2], (torch.float32, torch.bfloat16), (1, 2)
    ):
        torch.set_num_threads(threads)
        fixed = {"window": 2, "pseudo_random": True, "regions_per": "channel"}
        first = FractionalMaxPooling2D(ratio, data_format="channels_first", **fixed)
        last = FractionalMaxPooling2D(ratio, data_format="channels_last", **fixed)
        disjoint = FractionalMaxPooling2D(ratio, data_format="channels_last")
        named = FractionalMaxPooling2D(ratio, data_format="channels_first", return_indices=True, **fixed)
        named_disjoint = FractionalMaxPooling2D(ratio, data_format="channels_last", return_indices=True)
        out = disjoint.compute_output_shape((batch, side, side, channels))[1]
        nhwc = torch.randn(batch, side, side, channels, dtype=dtype).requires_grad_()
        nchw = nhwc.detach().permute(0, 3, 1, 2).contiguous().requires_grad_()
        dy = torch.randn(batch, out, out, channels, dtype=dtype)
        planes = dy.permute(0, 3, 1, 2).contiguous()
        halves = torch.randn(batch, side // 2, side // 2, channels, dtype=dtype).permute(0, 3, 1, 2)
        times = _in_turns(
            {
                "torch": step(torch.nn.FractionalMaxPool2d(2, output_size=out), nchw, planes),
                "torch, indices": step(
                    values(torch.nn.FractionalMaxPool2d(2, output_size=out, return_indices=True)), nchw, planes
                ),
                "fixed, NCHW": step(first, nchw, planes),
                "fixed, NHWC": step(last, nhwc, dy),
                "disjoint": step(disjoint, nhwc, dy),
                "fixed, NCHW, indices": step(values(named), nchw, planes),
                "disjoint, indices": step(values(named_disjoint), nhwc, dy),
                "max pool": step(lambda x: torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 2), nhwc, halves),
            },
            repeats,
        )
        case = f"{batch}×{side}×{side}×{channels}, ratio {ratio:.3g}, {str(dtype)[6:]}, threads {threads}"
        peer = "torch.nn.FractionalMaxPool2d"
        forms = {
            f"{peer}, fixed 2×2 windows per channel, NCHW": "fixed, NCHW",
            f"{peer}, fixed 2×2 windows per channel, ours NHWC": "fixed, NHWC",
            f"{peer}, ours disjoint windows per batch, NHWC": "disjoint",
        }
        rows += [_faster(words, case, times[name], times["torch"], 1, 2) for words, name in forms.items()]
        rows += [
            _faster(f"{words}, return_indices", case, times[f"{name}, indices"], times["torch, indices"], 1, 2)
            for words, name in forms.items()
            if f"{name}, indices" in times
        ]
        rows.append(
            _slower(
                "F.max_pool2d(2), disjoint windows per batch, NHWC", case, times["disjoint"], times["max pool"], 4, 2
            )
        )
    return sorted(rows, key=lambda row: row.measure)


def training(repeats: int) -> list[Row]:
    """Images per second of the 2-conv MNIST network of the study, without batch norm."""
    batch = 128
    images = tf.random.stateless_normal([batch, 28, 28, 1], seed=[1, 2])
    labels = tf.constant(np.random.default_rng(0).integers(0, 10, batch))
    names = ("fracpool", "late", "tensorflow")
    steps = {name: _training_step(_network(name), images, labels) for name in names}
    times = _in_turns(steps, repeats)
    peer = "the same network on TensorFlow's op, training"
    rows = []
    for name, words in (("fracpool", "before activation (exact rewrite)"), ("late", "after activation")):
        case = f"batch {batch}, pool {words}"
        row = _faster(peer, case, times[name], times["tensorflow"], 1.6, 2)
        row.unit, row.ours, row.peer = "images/s", *(1000 * batch / t for t in (row.ours, row.peer))
        rows.append(row)
    return rows


def strong_network(repeats: int) -> list[Row]:
    """Training of model=airbench, as the harness builds it: operations a second, as a share of what products of float32
    matrices reach on the same cores. A step counts 6 for each multiply-accumulate of the network."""
    batch, side = 500, 2048
    images = tf.random.stateless_normal([batch, 32, 32, 3], seed=[1, 2])
    labels = tf.constant(np.random.default_rng(0).integers(0, 10, batch))
    matrix = tf.random.stateless_normal([side, side], seed=[1, 2])
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    fmp = PoolSettings("fmp", poolings.HALVING, pseudo_random=True, overlapping=False, regions_per="batch")
    names = {"max": (PoolSettings(), "float32"), "fmp": (fmp, "float32")}
    names |= {"max, bfloat16": (PoolSettings(), "mixed_bfloat16"), "fmp, bfloat16": (fmp, "mixed_bfloat16")}
    built = {name: _airbench(*chosen) for name, chosen in names.items()}
    steps = {name: _training_step(model, images, labels) for name, (model, _) in built.items()}
    times = _in_turns({**steps, "product": product}, max(3, repeats // 6), warm_up=2)
    rows = []
    limits = {"max": (0.65, 0.85), "max, bfloat16": (0.9, 1.5)}
    for name, (floor, aim) in limits.items():
        operations = 6 * built[name][1] * batch / (2 * side**3)  # of a step, in products
        share = operations * times["product"] / times[name]
        low, value, high = np.percentile(share, [25, 50, 75])
        measure = f"training of airbench's network, {names[name][1]}, share of the float32 peak"
        row = Row(measure, f"batch {batch}, 2×2 max pooling", value, floor, aim, "more", "images/s")
        row.ours, row.spread, row.repeats = 1000 * batch / float(np.median(times[name])), (low, high), len(share)
        rows.append(row)
    for of, in_words in (("", "float32"), (", bfloat16", "mixed_bfloat16")):
        peer = "a step of airbench's network with max pooling"
        case = f"FMP at the same sizes, {in_words}"
        rows.append(_slower(peer, case, times[f"fmp{of}"], times[f"max{of}"], 1.1, 1.03))
    peer = "training of airbench's network in float32, in mixed_bfloat16"
    rows.append(_faster(peer, "2×2 max pooling", times["max, bfloat16"], times["max"], 1.3, 2))
    return rows


def _airbench(pool: PoolSettings, policy: str) -> tuple[keras.Model, int]:
    """The network, and its multiply-accumulates for an image."""
    model = ModelSettings(**config_files.option("model", "airbench", ModelSettings)[1] | {"batch_norm_fused": True})
    network = architecture.network(model, pool, (32, 32, 3), 10)
    with keras_network.precision(policy):
        return keras_network.build(network, model, pool), network.macs


def peak_memory(repeats: int) -> list[Row]:
    """What training steps of batch 1024 add to the process, each network in a process of its own."""
    measure = "peak memory of training relative to TensorFlow's op"
    if not Path("/proc/self/status").exists():
        return [Row(measure, "", None, 1, 0.8, "less", "MiB", note="skipped: read from /proc, on Linux only")]
    command = [sys.executable, __file__, "--peak-memory"]
    ours, theirs = (
        float(subprocess.check_output([*command, name], text=True).split()[-1]) for name in ("fracpool", "tensorflow")
    )
    case = "2-conv network, batch 1024, above the process before"
    return [Row(measure, case, ours / theirs, 1, 0.8, "less", "MiB", ours, theirs)]


def harness(repeats: int) -> list[Row]:
    """A whole run by `fracpool.train`, record and all, beside the same network in a script that calls model.fit
    with the test set as validation data; both from building the network on, imports and data loading done."""
    from fracpool import train
    from fracpool.settings import datasets
    from fracpool.settings.schema import DatasetSettings

    arrays = datasets.load(DatasetSettings("mnist5k"))
    epochs = 10  # configs/budget/standard.yaml

    def script() -> None:
        keras.backend.clear_session()
        layers: list[Any] = [keras.Input((28, 28, 1))]
        for filters in (32, 64):
            layers += [keras.layers.Conv2D(filters, 3, padding="same"), keras.layers.MaxPooling2D(2)]
            layers += [keras.layers.Activation("elu")]
        layers += [keras.layers.Flatten(), keras.layers.Dense(128, "elu"), keras.layers.Dense(10)]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
        images, tests = (a.astype("float32") / 255 for a in (arrays.train_images, arrays.test_images))
        validation = (tests, arrays.test_labels)
        labels = arrays.train_labels
        model.fit(images, labels, batch_size=100, epochs=epochs, verbose=0, validation_data=validation)

    with tempfile.TemporaryDirectory() as folder:
        seeds = iter(range(1000))

        def ours() -> None:
            # Each call has another learning rate: another variant, whose program is built as the script builds its own.
            seed = next(seeds)
            command = ["dataset=mnist5k", "pool=max", f"budget.epochs={epochs}", f"seed={seed}"]
            command += [f"optimizer.learning_rate={1e-3 + seed * 1e-9}", f"results_dir={folder}"]
            with contextlib.redirect_stdout(io.StringIO()):
                assert train.main(command) == 0

        times = _in_turns({"ours": ours, "script": script}, max(3, repeats // 10), warm_up=1)
    case = f"5,000 digits, {epochs} epochs, max pooling"
    row = _slower("the same network in a model.fit script, one run", case, times["ours"], times["script"], 1.05, 1.0)
    return [row, _overhead_in_a_sweep(3 if repeats < 10 else 5)]


def _overhead_in_a_sweep(seeds: int) -> Row:
    """What runs of a sweep cost beside training and testing, by their own records: building the network, loading
    the checkpoint, writing the record."""
    from fracpool import train

    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "dataset=mnist5k", "pool=max,fmp", "pool.ratio=1.4,1.47", "budget.epochs=2"]
        command += [f"seed=range({seeds})", f"results_dir={folder}"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert train.main(command) == 0
        records = [json.loads(file.read_text()) for file in Path(folder).glob("mine/runs/*/record.json")]
    seconds = [record["timings"]["overhead_seconds"] for record in records]
    low, value, high = np.percentile(seconds, [25, 50, 75])
    row = Row("overhead of a run in a sweep, seconds", f"3 variants, {seeds} seeds each", value, 0.5, 0.2, "less", "s")
    row.ours, row.spread, row.repeats, row.note = value, (low, high), len(seconds), f"most: {max(seconds):.2f} s"
    return row


def package(repeats: int) -> list[Row]:
    """What is installed: the size of the wheel, and how long an import takes that does not need Keras yet."""
    return [_wheel(), _import(5 if repeats < 10 else 20)]


def _wheel() -> Row:
    """The size of the wheel, and how much of it lies in the folders that have most of it."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = _built_wheel(Path(folder))
        whole = wheel.stat().st_size / 1000
        with zipfile.ZipFile(wheel) as archive:
            files = archive.infolist()
    folders: Counter[str] = Counter()
    for file in files:
        folders[file.filename.split("/")[1]] += file.compress_size
    layers = sum(folders[name] for name in ("pooling", "__init__.py", "geometry.py"))
    parts = {"the layers alone": layers, **dict(folders.most_common(9))}
    parts["archive and its list of files"] = 1000 * whole - sum(folders.values()) + folders["RECORD"]
    words = ", ".join(f"{name} {size / 1000:.0f}" for name, size in parts.items())
    note = f"{words}; all of it is read by a command that works without a checkout"
    return Row("the wheel, kB", f"{len(files)} files", whole, 200, 200, "less", "kB", whole, note=note, backend="any")


def _built_wheel(folder: Path) -> Path:
    """Of a copy of the sources, since building leaves files among them."""
    root = Path(__file__).parents[1]
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "configs", "experiments"):
        shutil.copytree(root / name, folder / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, folder)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (wheel,) = (folder / "dist").iterdir()
    return wheel


def _import(repeats: int) -> Row:
    """`import fracpool` in processes of their own, where Keras stays out."""
    timed = (
        "import sys, time; began = time.perf_counter(); import fracpool; "
        "print(1000 * (time.perf_counter() - began)); assert 'keras' not in sys.modules"
    )
    command = [sys.executable, "-c", timed]
    took = [float(subprocess.check_output(command, text=True)) for _ in range(1 + repeats)][1:]
    low, value, high = np.percentile(took, [25, 50, 75])
    measure = "import fracpool without Keras, ms"
    row = Row(measure, "a new process", float(value), 50, 20, "less", "ms", float(value), backend="any")
    row.spread, row.repeats = (low, high), repeats
    return row


def first_call(repeats: int) -> list[Row]:
    """Tracing, compiling and running forward and backward on a shape not seen before."""
    batch, side, channels, ratio = FAR
    _step(FractionalMaxPooling2D(2.0), tf.zeros([2, 4, 4, 1]))()  # what only the first compilation does
    seconds = []
    for extra in range(3 if repeats < 10 else 7):
        x = tf.zeros([batch, side + extra, side, channels])
        began = time.perf_counter()
        _step(FractionalMaxPooling2D(ratio), x)()
        seconds.append(time.perf_counter() - began)
    low, value, high = np.percentile(seconds, [25, 50, 75])
    case = f"{batch}×{side}×{side}×{channels}, ratio {ratio}"
    return [Row("first call, seconds", case, value, 1.5, 0.5, "less", "s", value, None, (low, high), len(seconds))]


# Networks


class TensorFlowPool(keras.layers.Layer):
    """TensorFlow's op as a layer."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.fractional_max_pool(x, [1.0, 1.47, 1.47, 1.0])[0]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return FractionalMaxPooling2D(1.47).compute_output_shape(shape)


def _network(kind: str) -> keras.Model:
    """kind: fracpool (pool before activation), late (after), tensorflow (its op, after)."""
    layers: list[Any] = [keras.Input((28, 28, 1))]
    for filters in (32, 64):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same"))
        activation = keras.layers.Activation("elu")
        pool = TensorFlowPool() if kind == "tensorflow" else FractionalMaxPooling2D(1.47, seed=1)
        layers += [pool, activation] if kind == "fracpool" else [activation, pool]
    layers += [keras.layers.Flatten(), keras.layers.Dense(128, "elu"), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def _training_step(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> Callable[[], Any]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    return lambda: model.train_on_batch(images, labels)


def _peak_memory_of_training(kind: str) -> float:
    """MiB by which training raises the peak of this process."""
    images = tf.random.stateless_normal([1024, 28, 28, 1], seed=[1, 2])
    labels = tf.constant(np.random.default_rng(0).integers(0, 10, 1024))
    step = _training_step(_network(kind), images, labels)
    before = _memory("VmRSS")
    for _ in range(5):
        step()
    return _memory("VmHWM") - before


def _memory(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in MiB; getrusage would count the parent's peak in."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


# Timing


def _step(pool: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> Callable[[], Any]:
    """Forward and backward of a pool, compiled as in training: a graph, no XLA around it, and an incoming
    gradient that lies ready, as the layer above would leave it."""

    @tf.function(reduce_retracing=True)
    def step(x: tf.Tensor, dy: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = pool(x)
        return y, tape.gradient(y, x, output_gradients=dy)

    dy = tf.ones_like(pool(x))
    return lambda: step(x, dy)


def _in_turns(calls: dict[str, Callable[[], Any]], repeats: int, warm_up: int = 3) -> dict[str, np.ndarray]:
    """Milliseconds of each call in each of the repeats, the calls taking turns in an order of chance: a call
    finds the caches as the one before it left them."""
    order = random.Random(0)
    for call in calls.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in order.sample(list(calls.items()), len(calls)):
            began = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: np.array(values) for name, values in times.items()}


def _faster(
    peer: str, case: str, ours: np.ndarray, theirs: np.ndarray, floor: float, aim: float, note: str = ""
) -> Row:
    """How many times as fast as the peer."""
    low, value, high = np.percentile(theirs / ours, [25, 50, 75])
    return _row(f"speed-up over {peer}", case, value, floor, aim, "more", ours, theirs, (low, high), note)


def _slower(peer: str, case: str, ours: np.ndarray, theirs: np.ndarray, floor: float, aim: float) -> Row:
    """Our time as a multiple of the peer's."""
    low, value, high = np.percentile(ours / theirs, [25, 50, 75])
    return _row(f"time relative to {peer}", case, value, floor, aim, "less", ours, theirs, (low, high), "")


def _row(
    measure: str,
    case: str,
    value: float,
    floor: float,
    aim: float,
    better: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    spread: tuple[float, float],
    note: str,
) -> Row:
    medians = float(np.median(ours)), float(np.median(theirs))
    return Row(measure, case, float(value), floor, aim, better, "ms", *medians, spread, len(ours), note)


# Output


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine or its user."""
    packages = ("tensorflow", "keras", "numpy", "torch")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages if importlib.util.find_spec(name)},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def on_a_gpu(page: Path) -> str:
    """The page's last section, of figures of gpu.py, which stay as they are; "" where there is none."""
    before = page.read_text() if page.is_file() else ""
    return "".join(before.partition("\n## On a GPU\n")[1:])


def markdown(rows: list[Row], quick: bool) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    lines = [f"Medians with 25th–75th percentile over the repeats. {facts}.", ""]
    if quick:
        lines += ["**Quick run: too few repeats for a result.**", ""]
    lines += ["| measure | backend | case | figure | spread | ours | peer | floor | aim | reached | repeats | note |"]
    lines += ["|" + "---|" * 12]
    for row in rows:
        sign = "≥" if row.better == "more" else "≤"
        cells = [
            row.measure,
            row.backend,
            row.case,
            _number(row.value),
            f"{row.spread[0]:.2f}–{row.spread[1]:.2f}" if row.spread else "",
            f"{_number(row.ours)} {row.unit}" if row.ours else "",
            f"{_number(row.peer)} {row.unit}" if row.peer else "",
            f"{sign} {row.floor}",
            f"{sign} {row.aim}",
            row.verdict,
            str(row.repeats or 1),
            row.note,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
