"""`fracpool.train.main` as a function: in loops, in a notebook's process, in another Hydra application."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from conftest import TINY
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from fracpool import train
from fracpool.records.store import Store
from fracpool.table import results

ROOT = Path(__file__).parents[1]
RUN = [*TINY, "pool=max"]


def test_a_loop_of_runs_returns_exit_codes(folder):
    codes = [train.main([*RUN, f"model.dense=[{width}]", "budget.epochs=1"]) for width in (4, 0, 8)]
    assert codes == [0, 2, 0]
    assert len(Store(folder / "results" / "mine").read().records) == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--cfg", "job"], 0), (["--hydra-help"], 0), (["--nonsense"], 2), (["pool=maxx"], 2)],
    ids=str,
)
def test_no_command_line_ends_the_process(folder, arguments, code):
    assert train.main(arguments) == code


def test_a_failed_run_returns_1_and_says_where_its_traceback_is(train, folder, monkeypatch):
    from fracpool.training import run

    monkeypatch.setattr(run, "program_for", lambda *_: 1 / 0)
    result = train(*RUN)
    assert result.code == 1
    assert result.err == "The traceback of the failed run is in its record; retry=failed runs it again.\n"
    assert "ZeroDivisionError" in result.out


def test_what_searches_gets_the_record_of_each_run(folder, capfd):
    """A search of one's own in two lines: the better of two, each trained once."""
    tried = {width: train.run([*RUN, "budget.epochs=1", f"model.dense=[{width}]"]) for width in (4, 16, 4)}
    best = min(tried, key=lambda width: tried[width].data["metrics"]["test_error"])
    assert tried[best].data["config"]["model"]["dense"] == [best]
    assert len(Store(folder / "results" / "mine").read().records) == 2
    with pytest.raises(RuntimeError, match=r"no record of dataset=mnist5k pool.ratio=0.9 \(exit code 2\)"):
        train.run(["dataset=mnist5k", "pool.ratio=0.9"])
    with pytest.raises(RuntimeError, match="no record"):
        train.run([*RUN, "plan=true"])
    assert "pool.ratio=0.9: must be" in capfd.readouterr().err


@pytest.mark.slow
def test_optuna_searches_as_the_page_says(folder):
    pytest.importorskip("optuna")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8"), re.DOTALL)
    Path("tune.py").write_text(code.replace("n_trials=10", "n_trials=4"))
    done = subprocess.run([sys.executable, "tune.py"], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    records = Store(folder / "results" / "tuning").read().records
    assert len(records) == 4
    assert all(record.data["config"]["dataset"]["held_out"] == 1000 for record in records)
    best = min(records, key=lambda record: record.data["metrics"]["test_error"])
    assert f"'ratio': {best.data['config']['pool']['ratio']:g}" in done.stdout.splitlines()[-1]


def test_another_hydra_application_is_left_as_it_was(train, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "app.yaml").write_text("defaults: [schema, _self_]\nanswer: 42\n")
    store = ConfigStore.instance()
    before = dict(store.repo)
    try:
        store.store(name="schema", node={"answer": int})  # a name that fracpool uses as well
        store.store(group="pool", name="theirs", node={"kind": "max"})
        with initialize_config_dir(str(tmp_path / "theirs"), version_base="1.3"):
            assert compose("app").answer == 42
            assert train("dataset=mnist5k", "pool=max", "plan=true").code == 0
            refused = train("pool=theirs")
            assert "pool=theirs: no such option" in refused.err
            assert compose("app").answer == 42
        assert not GlobalHydra.instance().is_initialized()
        assert train("dataset=mnist5k", "plan=true").code == 0
    finally:
        store.repo = before


APPLICATION = """
import hydra
from hydra.core.hydra_config import HydraConfig
from fracpool import train

@hydra.main(version_base="1.3", config_path=None)
def application(config):
    name = HydraConfig.get().job.name
    for mode in (["pool=max"], ["-m", "pool=max,fmp"]):
        assert train.main([*mode, "dataset=mnist5k", "plan=true"]) == 0
    assert HydraConfig.get().job.name == name

application()
"""


def test_a_run_within_another_hydra_application(folder):
    Path("application.py").write_text(APPLICATION)
    done = subprocess.run([sys.executable, "application.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout


def test_threads_that_are_in_use_anyway_are_no_change(train):
    import tensorflow as tf

    tf.zeros(1) + 1  # from here on TensorFlow's threads are what they are
    from fracpool.training import devices

    used = devices.threads_in_use()
    assert train(*RUN, f"threads={used}", "budget.epochs=1").code == 0
    refused = train(*RUN, f"threads={used + 1}", "budget.epochs=1", "seed=1")
    assert refused.code == 2
    assert refused.err.startswith(f"threads={used + 1}: this process already computes with {used};")


def history(folder: Path) -> list[str]:
    """Loss and accuracy after each epoch, without the seconds."""
    (file,) = (folder / "results" / "mine" / "runs").glob("*/history.csv")
    return [line.rpartition(",")[0] for line in file.read_text().splitlines()]


def test_what_keras_was_set_to_changes_no_result(train, folder):
    assert train(*RUN).code == 0
    usual = history(folder)
    config = keras.config
    config.set_floatx("float64")
    config.set_epsilon(1e-2)
    config.set_image_data_format("channels_first")
    config.set_max_epochs(1)
    config.set_max_steps_per_epoch(1)
    config.set_dtype_policy("mixed_float16")
    try:
        assert train(*RUN, "retry=all", "model.dropout=0").code == 0
        assert history(folder) == usual
        assert (config.floatx(), config.epsilon(), config.max_epochs()) == ("float64", 1e-2, 1)
        assert config.dtype_policy().name == "mixed_float16"
    finally:
        config.set_floatx("float32")
        config.set_epsilon(1e-7)
        config.set_image_data_format("channels_last")
        config.set_max_epochs(None)
        config.set_max_steps_per_epoch(None)
        config.set_dtype_policy("float32")


@pytest.mark.slow
def test_what_keras_file_and_variables_say_changes_no_result(train, folder):
    assert train(*RUN).code == 0
    usual = history(folder)
    (folder / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}')
    environment = {**os.environ, "KERAS_HOME": str(folder), "KERAS_MAX_EPOCHS": "1"}
    again = [sys.executable, "-m", "fracpool.train", *RUN, "retry=all"]
    assert subprocess.run(again, env=environment, capture_output=True, timeout=120).returncode == 0
    assert history(folder) == usual


def test_a_backend_that_comes_too_late_is_refused(train, monkeypatch):
    assert keras.backend.backend() == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = train(*RUN)
    assert result.code == 2
    assert result.err.startswith("KERAS_BACKEND=jax: this process has already loaded Keras with tensorflow;")


def test_runs_under_other_variables_are_told_apart(train, folder, monkeypatch):
    run = [*RUN, "budget.epochs=1"]
    assert train(*run).code == 0
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")  # which TensorFlow reads as it is loaded: here it only names
    assert train(*run).code == 0
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert "skipped" in train(*run).out
    whole = results.read(folder / "results" / "mine")
    assert sorted(whole.runs["variant"]) == [
        "2 conv, max pool",
        "2 conv, max pool, TF_ENABLE_ONEDNN_OPTS=0",
    ]
