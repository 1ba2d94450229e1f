"""trainer.strategy=mirrored on two logical CPU devices, in a process of its own: this one computes on one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from fracpool.records.store import Store

MIRRORED = ["trainer.strategy=mirrored", "trainer.devices=2"]


def run(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fracpool.train", *TINY, f"results_dir={folder}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [["pool=max"], ["pool=fmp", "pool.regions_per=run", "model.batch_norm=true"]],
    ids=["max pool", "frozen regions and batch norm"],
)
def test_without_chance_two_devices_train_as_one_does(train, folder, variant):
    assert train(*TINY, *variant).code == 0
    done = run(folder / "results", *variant, *MIRRORED)
    assert (done.returncode, done.stderr) == (0, "")
    records = Store(folder / "results" / "mine").read().records
    assert len({record.run_id for record in records}) == 2
    single, mirrored = sorted(records, key=lambda record: "trainer" in record.data["config"])
    assert mirrored.data["label"] == f"{single.data['label']}, mirrored on 2 devices"
    assert "trainer.strategy=mirrored" in mirrored.data["command"]
    # Batch norm over a replica's own half moves the loss in training by 5e-4, another order of sums by 4e-5. The loss
    # on the test set is no such judge: six steps' moving statistics carry any rounding on, by 5e-4 on some machines.
    for one, other in zip(single.history(), mirrored.history(), strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=2e-4)
        assert one["test_loss"] == pytest.approx(other["test_loss"], rel=3e-3)
    probabilities = [record.predictions()["one_pass"].astype(float) for record in (single, mirrored)]
    np.testing.assert_allclose(*probabilities, atol=2e-2)


CHANCE = """
import sys
import numpy as np, tensorflow as tf
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]  # test_runs and conftest
from test_runs import StopAfter, execute, results, settings
from fracpool.settings import architecture, datasets
from fracpool.training import devices, keras_network, state
made = settings(sys.argv[2] + "/whole")
made.trainer.strategy, made.model.dropout = "mirrored", 0.5
devices.check(made.trainer)

known = datasets.describe(made.dataset)
network = architecture.network(made.model, made.pool, known.shape, known.classes)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = keras_network.build(network, made.model, made.pool)
    model.compile("sgd", "mse")
state.initialise(model, 3)
for name in ("pool1", "dropout1"):
    layer = model.get_layer(name)
    images = np.random.default_rng(0).normal(size=(4, 28, 28, 4)).astype(np.float32)
    draw = lambda: layer(images, training=True)
    one, other = strategy.experimental_local_results(strategy.run(tf.function(draw)))
    assert not np.array_equal(one, other), f"{name} does the same on both devices"

whole = results(execute(made))
made.results_dir = sys.argv[2] + "/pieces"
try:
    execute(made, StopAfter(1))
except KeyboardInterrupt:
    pass
else:
    raise AssertionError("was not stopped")
record = execute(made)
assert record.data["resumed_at_epoch"] == 1
assert results(record) == whole
"""


@pytest.mark.slow
def test_each_device_draws_for_itself_and_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    command = [sys.executable, "-c", CHANCE, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_process_that_computes_on_one_device_says_that_it_cannot_take_more(train, folder):
    done = train("-m", *TINY, "pool=max", "trainer.strategy=single,mirrored")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "trainer.devices=2" in line
    assert "start a new one" in line
    (record,) = Store(folder / "results" / "mine").read().records
    assert "trainer" not in record.data["config"]


def test_more_gpus_than_there_are_are_refused_before_anything_runs(train, folder, monkeypatch):
    import tensorflow as tf

    listed = tf.config.list_physical_devices
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"] if kind == "GPU" else listed(kind))
    wrong = train("-m", *TINY, *MIRRORED, "seed=0,1")
    assert (wrong.code, wrong.err) == (2, "trainer.devices=2: must be at most 1, the GPUs of this machine\n")
    assert not list(folder.rglob("record.json"))
