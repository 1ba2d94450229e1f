"""Which change makes another run, and which does not."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fracpool.records import environment
from fracpool.settings import identity
from fracpool.settings.schema import AugmentationSettings, BudgetSettings, ModelSettings, OptimizerSettings, Settings
from fracpool.training.provenance import code_fingerprint


def settings(**changes) -> Settings:
    made = Settings(**changes)
    made.dataset.name = "mnist5k"
    return made


def test_ids_stay_the_same_from_version_to_version():
    """If this fails, records made before are not found any more: was that meant?"""
    assert identity.run_id(settings(), "data") == "mnist5k-plain2-max-e10-s0-2dc945d7375d9327"


def test_a_changed_result_needs_a_changed_version():
    """The code that computes results has this fingerprint under this RESULTS_VERSION.

    If a change of yours alters what a run computes, raise RESULTS_VERSION; then put the new fingerprint here.
    """
    assert (identity.RESULTS_VERSION, code_fingerprint()) == (1, "986fa06c348c3317")


def test_the_defaults_are_those_that_ids_stand_for():
    """Ids leave out fields at their default: a default that changes needs a raised RESULTS_VERSION."""
    model, budget = asdict(ModelSettings()), asdict(BudgetSettings())
    known = {
        "conv_layers": 2, "pools": None, "filters": [32, 64], "kernel": 3, "pad_to": None, "batch_norm": False,
        "batch_norm_momentum": 0.99, "batch_norm_fused": False, "activation": "elu", "dropout": 0.0, "dense": [128],
        "dense_dropout": 0.0, "pointwise": False, "widths": [], "whiten_epochs": 0, "batch_norm_scale": True,
        "dirac": False,
    }  # fmt: skip
    assert {name: model[name] for name in known if name in model} == known
    assert {name: budget[name] for name in budget} == {"epochs": 10, "train_examples": None, "batch_size": 100,
        "plain_epochs": 0, "test_every": 1,
    }  # fmt: skip
    rate = {"learning_rate": 1e-3, "momentum": 0.9, "schedule": "constant", "decay": 0.0}
    recipe = {"warm_up": 0.0, "rate_start": 0.0, "rate_end": 0.0, "weight_decay": 0.0, "norm_bias_rate": 1.0}
    recipe |= {"lookahead": 0, "label_smoothing": 0.0}
    assert asdict(OptimizerSettings()) == {"name": "adam", **rate, "average": 0.0, **recipe}
    assert asdict(AugmentationSettings()) == {"flip": None, "shift": 0}


def changed(**fields) -> Settings:
    made = settings()
    for name, value in fields.items():
        group, _, field = name.partition("__")
        if field:
            setattr(getattr(made, group), field, value)
        else:
            setattr(made, group, value)
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"model__conv_layers": 3},
        {"model__dense": [64]},
        {"model__pointwise": True},
        {"optimizer__learning_rate": 0.01},
        {"budget__epochs": 11},
        {"pool__kind": "average"},
        {"dataset__name": "mnist"},
        {"trainer__strategy": "mirrored"},
    ],
    ids=str,
)
def test_what_changes_the_result_changes_the_id(fields):
    assert identity.run_id(changed(**fields), "data") != identity.run_id(settings(), "data")


def test_another_backend_of_keras_changes_the_id(monkeypatch, tmp_path):
    usual = identity.run_id(settings(), "data")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    by_file = identity.run_id(settings(), "data")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    by_variable = identity.run_id(settings(), "data")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert len({usual, by_file, by_variable}) == 3
    assert identity.run_id(settings(), "data") == usual


def test_other_data_change_the_id():
    assert identity.run_id(settings(), "data") != identity.run_id(settings(), "other data")


@pytest.mark.parametrize(
    "fields",
    [
        {"results_dir": "/elsewhere"},
        {"profile": "other"},
        {"predictions": "classes"},
        {"retry": "failed"},
        {"logger": "mlflow"},
        {"experiment__name": "mnist_swap"},
        {"dataset__data_dir": "/data"},
        {"trainer__devices": 4},  # there is one device, unless they are mirrored
        {"repeats": 20},  # max pooling has one kind of test pass
    ],
    ids=str,
)
def test_what_does_not_change_the_result_does_not_change_the_id(fields):
    assert identity.run_id(changed(**fields), "data") == identity.run_id(settings(), "data")


def test_the_seed_is_not_part_of_the_variant():
    assert identity.variant_id(settings()) == identity.variant_id(replace(settings(), seed=7))


@pytest.mark.parametrize("cache", ["cache", "file"])  # which can be written, and which cannot
def test_the_code_fingerprint_is_blind_to_comments_and_docstrings(tmp_path, monkeypatch, cache):
    from fracpool.training import provenance

    (tmp_path / "training").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))

    def fingerprint(text: str, name: str = "models.py") -> str:
        (tmp_path / "training" / name).write_text(text)
        monkeypatch.setattr(provenance, "__file__", str(tmp_path / "training" / "provenance.py"))
        provenance.code_fingerprint.cache_clear()
        return provenance.code_fingerprint()

    try:
        plain = fingerprint("def f(x):\n    return x + 1\n")
        assert fingerprint('"""Module."""\ndef f(x):\n    """One more."""\n    return (x + 1)  # sum\n') == plain
        changed = fingerprint("def f(x):\n    return x + 2\n")
        assert changed != plain
        assert fingerprint("def f(x):\n    return x + 2\n") == changed  # noted, where it can be
        assert fingerprint("", name="another.py") != changed
    finally:
        monkeypatch.undo()
        provenance.code_fingerprint.cache_clear()


def test_the_computing_folders_exist():
    from fracpool.training import provenance

    for folder in provenance.COMPUTING_FOLDERS:
        assert list((Path(provenance.__file__).parents[1] / folder).glob("*.py")), folder


def test_what_is_set_in_the_shell_and_changes_results_changes_the_id(monkeypatch):
    usual = identity.run_id(settings(), "data")
    for name, value in {
        "TF_ENABLE_ONEDNN_OPTS": "1",  # the default
        "XLA_FLAGS": "--xla_gpu_cuda_data_dir=/usr/lib/cuda --xla_force_host_platform_device_count=2",
        "JAX_ENABLE_X64": "1",  # of another backend
    }.items():
        monkeypatch.setenv(name, value)
    assert identity.run_id(settings(), "data") == usual
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert identity.config(settings())["variables"] == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_dump_to=/tmp/somewhere")
    ids = {usual, identity.run_id(settings(), "data")}
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    ids.add(identity.run_id(settings(), "data"))
    monkeypatch.delenv("JAX_ENABLE_X64")
    ids.add(identity.run_id(settings(), "data"))
    assert len(ids) == 4


def test_the_command_that_repeats_a_run_sets_what_it_was_made_with(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit")
    assert environment.command(["seed=1"]) == (
        "TF_XLA_FLAGS='--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit' python -m fracpool.train seed=1"
    )
    assert environment.command(["seed=1"], "jax") == "KERAS_BACKEND=jax python -m fracpool.train seed=1"


@pytest.mark.parametrize("home", ["writable", "read only", "none"])
def test_keras_file_is_found_where_keras_looks(home, tmp_path, monkeypatch):
    """Also for a user without a home: in a container, the number of a user need not be anybody's."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if home == "none":
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    else:
        monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: home == "writable")
    assert environment.backend() in ("tensorflow", "jax", "torch")
    assert environment._file_of_keras() == (tmp_path if home == "writable" else Path("/tmp")) / ".keras" / "keras.json"
