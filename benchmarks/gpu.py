"""Times the layer on whatever device JAX or PyTorch has, a GPU or the CPU, and prints each row as it is measured.

    KERAS_BACKEND=jax python benchmarks/gpu.py [--quick] [--seconds 100]
    KERAS_BACKEND=torch python benchmarks/gpu.py [--quick] [--seconds 100]

Pools alone run forward and backward; a network runs a whole training step. What is compared runs in turns, a time is
the median of the turns. GB/s counts the bytes that must move at least: forward reads the input and writes the output
and a code of one byte for each, backward reads these and writes the gradient: 13 bytes for each element of a float32
input at ratio √2, 7 of a 16-bit one. It ends after --seconds, whatever is left; on a CPU take --quick.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from fracpool import FractionalMaxPooling2D

BACKEND = keras.backend.backend()
SHAPES = [(512, 32, 64), (512, 19, 128), (256, 64, 64)]  # batch, side, channels
QUICK = [(8, 19, 16)]
FORMS: dict[str, dict[str, Any]] = {
    "disjoint per batch": {},
    "overlapping per batch": {"overlapping": True},
    "2×2 windows per channel": {"window": 2, "regions_per": "channel"},
}
RATIO = 2**0.5
Call = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small shapes and few turns: a check that it runs")
    parser.add_argument("--seconds", type=float, default=100.0, help="begin no further row after these")
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    print(f"{BACKEND} {version(BACKEND)}, {device()}{', quick: no result' if given.quick else ''}\n")
    print("| case | dtype | ours ms | 2×2 max pooling ms | peer ms | ours / max | ours GB/s | same bits again |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for row in rows(QUICK if given.quick else SHAPES, 3 if given.quick else 20):
        print(f"| {' | '.join(row)} |", flush=True)
        if time.monotonic() > end:
            print(f"\nThe rest is left out after {given.seconds:g} seconds.")
            return


def rows(shapes: list[tuple[int, int, int]], turns: int) -> Iterator[list[str]]:
    """Some of each kind first, so that little time shows every kind: one shape in both types, then networks."""
    yield from _pools_alone(shapes[0], turns)
    yield from _networks(shapes[0][0], turns)
    for shape in shapes[1:]:
        yield from _pools_alone(shape, turns)


def _pools_alone(shape: tuple[int, int, int], turns: int) -> Iterator[list[str]]:
    batch, side, channels = shape
    for dtype in ("float32", "bfloat16"):
        for words, form in FORMS.items():
            layer = FractionalMaxPooling2D(RATIO, seed=1, data_format="channels_last", **form)
            case = f"{batch}×{side}×{side}×{channels}, {words}"
            yield [case, dtype, *_pool_alone(layer, (batch, side, side, channels), dtype, turns)]


def _networks(batch: int, turns: int) -> Iterator[list[str]]:
    for policy in ("float32", "mixed_bfloat16"):
        calls = {name: _training_step(name, batch, policy) for name in ("ours", "max")}
        times = in_turns(calls, turns)
        share = f"{times['ours'] / times['max']:.2f}"
        shown = [f"{times[name]:.3f}" for name in ("ours", "max")]
        yield [f"training step of two convolutions, batch {batch}", policy, *shown, "–", share, "–", "–"]


def _pool_alone(layer: Any, shape: tuple[int, ...], dtype: str, turns: int) -> list[str]:
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    made = _on_jax if BACKEND == "jax" else _on_torch
    calls = made(layer, values, dtype)
    again = np.array_equal(*(_bits(calls["gradient of fixed regions"]()) for _ in range(2)))
    del calls["gradient of fixed regions"]
    times = in_turns(calls, turns)
    moved = (13 if dtype == "float32" else 7) * values.size
    peer = f"{times['peer']:.3f}" if "peer" in times else "–"
    share, speed = times["ours"] / times["max"], moved / times["ours"] / 1e6
    shown = [f"{times[name]:.3f}" for name in ("ours", "max")]
    return [*shown, peer, f"{share:.2f}", f"{speed:.1f}", "yes" if again else "NO"]


# ---- JAX: the peer is lax.reduce_window ----


def _on_jax(layer: Any, values: np.ndarray, dtype: str) -> dict[str, Call]:
    import jax
    from jax import numpy as jnp

    x = jnp.asarray(values, dtype)
    state = [variable.value for variable in layer.non_trainable_variables]

    def windows(x: Any, width: int) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, width, width, 1), (1, 2, 2, 1), "VALID")

    def step(pool: Callable[[Any], Any]) -> Call:
        def both(x: Any, dy: Any) -> Any:
            y, backward = jax.vjp(pool, x)
            return y, backward(dy)[0]

        compiled, dy = jax.jit(both), jnp.ones_like(jax.eval_shape(pool, x))
        return lambda: jax.block_until_ready(compiled(x, dy))

    def ours(x: Any) -> Any:
        return layer.stateless_call([], state, x)[0]

    return {
        "ours": step(ours),
        "max": step(lambda x: windows(x, 2)),
        "peer": step(lambda x: windows(x, 3)),  # overlapping windows, which fractional regions may be
        "gradient of fixed regions": step(ours),  # the same state: the same regions
    }


# ---- PyTorch: the peer is torch.nn.FractionalMaxPool2d ----


def _on_torch(layer: Any, values: np.ndarray, dtype: str) -> dict[str, Call]:
    import torch

    where = "cuda" if torch.cuda.is_available() else "cpu"
    nhwc = torch.tensor(values, device=where, dtype=getattr(torch, dtype)).requires_grad_()
    nchw = nhwc.detach().permute(0, 3, 1, 2).contiguous().requires_grad_()
    out = layer.compute_output_shape(values.shape)[1]

    def step(pool: Callable[[Any], Any], x: Any) -> Call:
        dy = torch.ones_like(pool(x))

        def call() -> Any:
            y = pool(x)
            (dx,) = torch.autograd.grad(y, x, dy)
            if where == "cuda":
                torch.cuda.synchronize()
            return y, dx

        return call

    even = type(layer).from_config({**layer.get_config(), "inference": "even"})
    return {
        "ours": step(lambda x: layer(x, training=True), nhwc),
        "max": step(lambda x: torch.nn.functional.max_pool2d(x, 2), nchw),
        "peer": step(torch.nn.FractionalMaxPool2d(2, output_size=out), nchw),
        "gradient of fixed regions": step(even, nhwc),
    }


def _bits(result: Any) -> np.ndarray:
    """The gradient, as float32, which holds both types exactly."""
    return keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.stop_gradient(result[1]), "float32"))


# ---- a network ----


def _training_step(name: str, batch: int, policy: str) -> Call:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    layers: list[Any] = [keras.Input((32, 32, 3))]
    for filters in (64, 128):
        same = {"output_size": 16 if filters == 64 else 8, "seed": 1}
        pool = FractionalMaxPooling2D(**same) if name == "ours" else keras.layers.MaxPooling2D(2)
        layers += [keras.layers.Conv2D(filters, 3, padding="same", activation="relu"), pool]
    layers += [keras.layers.Flatten(), keras.layers.Dense(10, dtype="float32")]
    model = keras.Sequential(layers)
    keras.config.set_dtype_policy("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=BACKEND == "jax")
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(batch, 32, 32, 3)).astype("float32"), rng.integers(0, 10, batch)
    return lambda: model.train_on_batch(images, labels)  # whose loss is a number: the device is done


# ---- timing ----


def in_turns(calls: dict[str, Call], turns: int) -> dict[str, float]:
    """Medians in ms. Each call waits for its device."""
    for call in calls.values():
        call()
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: float(np.median(values)) for name, values in times.items()}


def device() -> str:
    if BACKEND == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
