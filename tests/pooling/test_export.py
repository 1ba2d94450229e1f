"""Exported models give what `predict` gives, where fracpool is not. TensorFlow backend."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import fracpool

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports from TensorFlow")
X = np.random.default_rng(0).normal(size=(3, 20, 20, 2)).astype("float32")
POOLS = {
    "max": lambda: fracpool.FractionalMaxPooling2D(1.47, inference="even"),
    "overlapping": lambda: fracpool.FractionalMaxPooling2D(1.47, overlapping=True, inference="even"),
    "windows": lambda: fracpool.FractionalMaxPooling2D(1.47, window=2, regions_per="channel", inference="even"),
    "average": lambda: fracpool.FractionalAveragePooling2D(1.47, inference="even"),
}
ELSEWHERE = """
import sys, numpy as np, tensorflow as tf
given = np.load("given.npz")
model = tf.saved_model.load("model")
found = model.serve(given["x"]).numpy()
assert "fracpool" not in sys.modules
assert np.abs(found - given["y"]).max() <= 1e-6, np.abs(found - given["y"]).max()
"""


def network(kind):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((20, 20, 2)), keras.layers.Conv2D(4, 3), POOLS[kind]()])


@pytest.mark.slow  # a process of its own
def test_saved_model_in_a_process_without_fracpool(tmp_path):
    model = network("max")
    model.export(tmp_path / "model", verbose=False)
    np.savez(tmp_path / "given.npz", x=X, y=model.predict(X, verbose=0))
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def in_litert(model, folder):
    """The model as a function of images that LiteRT computes, with built-in operations only."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    entry = interpreter.get_input_details()[0]["index"]

    def outputs(x):
        interpreter.resize_tensor_input(entry, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, x)
        interpreter.invoke()
        return [interpreter.get_tensor(one["index"]).copy() for one in interpreter.get_output_details()]

    return outputs


def in_onnxruntime(model, folder):
    pytest.importorskip("tf2onnx", reason="exports to ONNX with tf2onnx")
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX")
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(str(folder / "model.onnx"))
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})


RUNTIMES = {"litert": in_litert, "onnx": in_onnxruntime}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", POOLS)
def test_even_regions_in_another_runtime(kind, runtime, tmp_path):
    model = network(kind)
    expected = model.predict(X, verbose=0)
    (found,) = RUNTIMES[runtime](model, tmp_path)(X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_indices_in_another_runtime(runtime, tmp_path):
    entry = keras.Input((20, 20, 2))
    pool = fracpool.FractionalMaxPooling2D(1.47, inference="even", return_indices=True)
    model = keras.Model(entry, pool(entry))
    y, indices = model.predict(X, verbose=0)
    found = RUNTIMES[runtime](model, tmp_path)(X)
    np.testing.assert_array_equal(next(one for one in found if one.dtype == np.float32), y)
    np.testing.assert_array_equal(next(one for one in found if one.dtype == np.int32), indices)


@keras.saving.register_keras_serializable("tests")
class DropIn(keras.layers.Layer):
    """What stands in for `tf.nn.fractional_max_pool` in a layer of one's own."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def call(self, x):
        return fracpool.fractional_max_pool(x, 1.47, seed=self.seed)[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_drop_in_in_another_runtime(runtime, tmp_path):
    """With a seed the regions of the seed at each call, without one others."""
    for seed in (5, 0):
        entry, layer = keras.Input((20, 20, 2)), DropIn(seed)
        model = keras.Model(entry, layer(entry))
        model.predict(X, verbose=0)
        outputs = RUNTIMES[runtime](model, tmp_path)
        (one,), (other,) = outputs(X), outputs(X)
        assert (one == other).all() == (seed == 5)
        assert seed != 5 or (one == layer(X).numpy()).all()


DIALECTS = {
    "tensorflow": {},
    "graham": {"window": 2, "pseudo_random": True, "regions_per": "sample"},
    "pytorch": {"window": 2, "pseudo_random": True, "regions_per": "channel"},
}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_drawn_regions_are_drawn_in_another_runtime(dialect, runtime, tmp_path):
    """The same as by the layer, all that there are, those of rows whatever those of columns are."""
    keras.utils.set_random_seed(0)
    entry = keras.Input((8, 7, 2))
    pool = fracpool.FractionalMaxPooling2D(output_size=(6, 5), seed=1, **DIALECTS[dialect])
    model = keras.Model(entry, pool(entry))
    model.predict(np.zeros((1, 8, 7, 2)), verbose=0)  # its own graph is traced before
    outputs = RUNTIMES[runtime](model, tmp_path)
    grows = (10 * np.arange(8.0)[:, None, None] + np.arange(7.0)[:, None] + np.zeros((2, 1, 1, 2))).astype("float32")

    def drawn(outputs):
        """Last rows and last columns of regions, which are the places of the maxima of a map that grows along both."""
        maps = np.stack([outputs(grows)[1, ..., 1] for _ in range(300)])
        return {tuple(each) for each in maps[:, :, 0] // 10}, {tuple(each) for each in maps[:, 0] % 10}, maps

    rows, cols, maps = drawn(lambda x: outputs(x)[0])
    assert (rows, cols) == drawn(lambda x: pool(x).numpy())[:2]
    assert len(np.unique(maps, axis=0)) > 2 * max(len(rows), len(cols))
