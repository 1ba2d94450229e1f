"""Runs what holds on every backend on JAX and PyTorch, each in a process of its own, and what only one can do."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from fracpool.records.store import Store
from fracpool.sweep.sweep_file import NO_REPORT

pytestmark = pytest.mark.slow  # each starts a process with another backend

TESTS = Path(__file__).parents[1]
PLACES = (
    "pooling/test_averaging.py",
    "pooling/test_backends_each.py",
    "pooling/test_layer_page.py",
    "pooling/test_pool_layers.py",
    "pooling/test_ranks.py",
    "pooling/test_still_regions.py",
    "pooling/test_streams.py",
    "pooling/test_unpooling.py",
    "training/test_distortion.py",
    "training/test_own_layers.py::test_a_weight_that_is_added_leaves_the_others_as_they_were",
    "training/test_recipe.py",
)
ONLY = {"jax": (), "torch": ("pooling/only_torch.py",)}

JAX = """
import jax, numpy as np
import fracpool
from jax import numpy as jnp

rng = np.random.default_rng(0)
x = rng.normal(size=(4, 2, 7, 6, 3)).astype("float32")
rows, cols = np.array([0, 2, 3, 5, 7]), np.array([0, 1, 3, 4, 6])

def one(x):
    return fracpool.max_pool_regions(x, rows, cols, overlapping=True)

def cube(x):
    return (one(x) ** 3).sum()

each = np.stack([one(batch) for batch in x])
assert (jax.vmap(one)(x) == each).all()
assert (jax.jit(jax.vmap(one))(x) == each).all()
slopes = np.stack([jax.grad(cube)(batch) for batch in x])
assert np.allclose(jax.vmap(jax.grad(cube))(x), slopes)

def second(x):
    return jax.grad(lambda x: (jax.grad(cube)(x) ** 2).sum())(x)

curves = np.stack([second(batch) for batch in x])
assert np.abs(curves).max() > 1
assert np.allclose(jax.vmap(second)(x), curves, rtol=1e-5)
assert np.allclose(jax.jit(second)(x[0]), curves[0], rtol=1e-5)

# Boundaries that are only known when the program runs, per example.
many = np.stack([rows, [0, 1, 2, 6, 7], [0, 4, 5, 6, 7], rows])
traced = jax.jit(jax.vmap(lambda x, rows: fracpool.max_pool_regions(x, rows, cols)))(x, many)
known = np.stack([fracpool.max_pool_regions(batch, r, cols) for batch, r in zip(x, many)])
assert (traced == known).all()
traced_slope = jax.jit(jax.grad(lambda x, rows: (fracpool.max_pool_regions(x, rows, cols) ** 2).sum()))
slope = jax.grad(lambda x: (fracpool.max_pool_regions(x, many[2], cols) ** 2).sum())
assert np.allclose(traced_slope(x[0], many[2]), slope(x[0]))
"""

FORWARD = """
import jax, numpy as np
import fracpool
from jax.test_util import check_grads

jax.config.update("jax_enable_x64", True)
x = np.random.default_rng(0).permutation(2 * 7 * 6 * 2).reshape(2, 7, 6, 2) / 50  # apart: no maximum changes hands
rows, cols = np.array([0, 2, 3, 5, 7]), np.array([0, 1, 3, 4, 6])
even = fracpool.FractionalMaxPooling2D(1.4, inference="even", dtype="float64")
for pool in (
    lambda x: fracpool.max_pool_regions(x, rows, cols),
    lambda x: fracpool.max_pool_regions(x, rows, cols, overlapping=True),
    lambda x: fracpool.fractional_max_pool(x, 1.4, seed=3)[0],
    even,
):
    check_grads(pool, (x,), order=3, modes=("fwd", "rev"), eps=1e-4)

    def cube(x):
        return (pool(x) ** 3).sum()

    hessian = jax.hessian(cube)(x)
    assert np.abs(hessian).max() > 1
    for other in (jax.jacrev(jax.jacrev(cube)), jax.jacfwd(jax.jacfwd(cube)), jax.jit(jax.hessian(cube))):
        assert np.allclose(other(x), hessian)
    both = jax.vmap(jax.hessian(cube))(np.stack([x, -x]))
    assert np.allclose(both[1], jax.hessian(cube)(-x))
    tangent = np.ones_like(x)
    assert np.allclose(jax.jvp(cube, (x,), (tangent,))[1], jax.grad(cube)(x).sum())
    many = np.stack([[x, 2 * x], [3 * x, 4 * x]])
    assert np.allclose(jax.vmap(jax.vmap(jax.grad(cube)))(many)[1, 0], jax.grad(cube)(3 * x))
many = np.stack([rows, [0, 1, 2, 6, 7]])  # each its own boundaries, which only the program knows
slope = jax.grad(lambda x, rows: (fracpool.max_pool_regions(x, rows, cols) ** 2).sum())
each = [slope(x, one) for one in many]
assert np.allclose(jax.vmap(slope, in_axes=(None, 0))(x, many), np.stack(each))
"""

PARALLEL = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import jax, keras, numpy as np
import fracpool

assert len(jax.devices()) == 2
rng = np.random.default_rng(0)
images = rng.random((80, 14, 14, 1), "float32")
labels = rng.integers(0, 4, 80)

def losses():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.layers.Conv2D(4, 3, activation="elu"),
        fracpool.FractionalMaxPooling2D(1.47, regions_per="sample", seed=1),
        keras.layers.Dropout(0.2, seed=2),
        keras.layers.Flatten(),
        keras.layers.Dense(4),
    ])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitted = model.fit(images, labels, batch_size=16, epochs=4, shuffle=False, verbose=0)
    return fitted.history["loss"], len(model.layers[0].kernel.value.sharding.device_set)

single, devices = losses()
assert devices == 1
keras.distribution.set_distribution(keras.distribution.DataParallel())
parallel, devices = losses()
assert devices == 2
assert single[0] > single[-1]
assert np.allclose(parallel, single, rtol=1e-5), (parallel, single)
"""


WITHOUT_TENSORFLOW = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def find_spec(kind, name, path=None, target=None):
    missing = name.partition(".")[0] in ("tensorflow", "tensorflow_datasets")
    return None if missing else found(name, path, target)

PathFinder.find_spec = classmethod(find_spec)
"""


def run(backend: str, *command: str, first_on_path: Path | None = None) -> str:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: it is the optional extra fracpool[{backend}]")
    before = [str(first_on_path)] if first_on_path else []
    path = os.pathsep.join([*before, str(TESTS.parent / "src"), str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *command], env=environment, cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return done.stderr


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_everything(backend):
    """Pooling with its gradients, the other layers and distortion, in one process: most of its time is the start."""
    places = [str(TESTS / place) for place in (*PLACES, *ONLY[backend])]
    run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", *places)


def test_jax_transformations():
    run("jax", "-c", JAX)


def test_jax_forward_mode_and_hessians():
    run("jax", "-c", FORWARD)


def test_on_jax_two_devices_with_parts_of_each_batch_train_as_one_does():
    """A sharded program is one program: it even draws the same regions."""
    run("jax", "-c", PARALLEL)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_sweep_trains_on_each_backend_and_its_runs_are_runs_of_their_own(backend, train, folder):
    """There, from command to record to report, as if TensorFlow were not installed."""
    without = folder / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    sweep = ["-m", *TINY, "pool=max,fmp", "model.dropout=0.1", "optimizer.average=0.9", NO_REPORT]
    arguments = [*sweep, f"results_dir={folder / 'results'}"]
    for _ in range(2):  # the second finds the records
        run(backend, "-m", "fracpool.train", *arguments, first_on_path=without)
    run(backend, "-m", "fracpool.report", str(folder / "results" / "mine"), first_on_path=without)
    assert train(*sweep).code == 0  # on TensorFlow, in this process
    records = Store(folder / "results" / "mine").read().records
    assert {record.status for record in records} == {"completed"}
    assert len(records) == len({record.run_id for record in records}) == 4
    used = {record.data["environment"]["backend"]: record.data["config"].get("backend") for record in records}
    assert used == {backend: backend, "tensorflow": None}
    for record in records:  # with the version of what computed, and a command that computes on it again
        ran, other = record.data["environment"], record.data["config"].get("backend")
        assert ran.get(backend) == (importlib.metadata.version(backend) if other else None)
        assert record.data["command"].startswith(f"KERAS_BACKEND={backend} python" if other else "python")
