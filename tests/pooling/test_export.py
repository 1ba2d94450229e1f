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


@pytest.mark.parametrize("kind", POOLS)
def test_litert_with_built_in_operations_only(kind):
    import tensorflow as tf

    model = network(kind)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    entry = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entry, X.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry, X)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model.predict(X, verbose=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", POOLS)
def test_onnx(kind, tmp_path):
    pytest.importorskip("tf2onnx", reason="exports to ONNX with tf2onnx")
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX")
    model = network(kind)
    expected = model.predict(X, verbose=0)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
