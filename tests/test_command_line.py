"""Bad input: one line that names the field and the remedy, exit code 2, no traceback, nothing left behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, hears_ctrl_c

from fracpool.sweep import hydra_errors

# command line, what the line must say
WRONG = [
    ("pool=maxx", ["pool=maxx", "did you mean max?"]),
    ("pool=", ["pool"]),
    ("dataset=minst", ["dataset=minst", "did you mean mnist?"]),
    ("model=plane", ["model=plane", "did you mean plain?"]),
    ("optimizer=adma", ["optimizer=adma", "did you mean adam?"]),
    ("budget=shrt", ["budget=shrt", "did you mean short?"]),
    ("poool=max", ["poool", "did you mean pool?"]),
    ("pool.ration=1.4", ["pool.ration", "did you mean pool.ratio?"]),
    ("model.conv_layer=3", ["model.conv_layer", "did you mean model.conv_layers?"]),
    ("modell.conv_layers=3", ["modell.conv_layers", "did you mean model.conv_layers?"]),
    ("sed=1", ["sed", "did you mean seed?"]),
    ("+pool.ration=1.4", ["pool.ration", "did you mean pool.ratio?"]),
    ("-m pool=fmp +pool.ration=1.3,1.5 dataset=mnist5k", ["pool.ration", "did you mean pool.ratio?"]),
    ("-m ++model.conv_layer=3,4 dataset=mnist5k", ["model.conv_layer", "did you mean model.conv_layers?"]),
    ("+pol=fmp", ["pol: no such setting", "did you mean pool?"]),
    ("+pool=max", ["+pool=max", "without the plus sign"]),
    ("+model/pool=max", ["model/pool", "no such setting"]),
    ("+sed=1", ["sed", "did you mean seed?"]),
    ("+experiment.nmae=mine", ["experiment.nmae", "no such setting of experiment"]),
    ("-m seed=0,1 +hydra.lancher.n_jobs=2", ["hydra.lancher", "did you mean launcher?"]),
    ("-m seed=0,1 hydra/launcher=joblib +hydra.launcher.n_job=2", ["hydra.launcher.n_job", "did you mean n_jobs?"]),
    ("-m results_dir=one,other dataset=mnist5k", ["results_dir=one,other", "start a sweep for each"]),
    ("-m profile=L${model.conv_layers} model.conv_layers=1,2 dataset=mnist5k", ["profile=L1,L2", "a sweep for each"]),
    ("-m plan=false,true dataset=mnist5k", ["plan=false,true", "start a sweep for each"]),
    ("-m threads=1,2 dataset=mnist5k", ["threads=1,2", "start a sweep for each"]),
    ("-m hydra.sweep.dir=sw dataset=mnist5k", ["hydra.sweep.dir=sw", "results_dir"]),
    ("hydra.job.chdir=true dataset=mnist5k", ["hydra.job.chdir=True", "working directory"]),
    ("results_dir='~nobody-of-this-name/x' dataset=mnist5k", ["~nobody-of-this-name/x", "no such home folder"]),
    ("experiment=mnist_swap", ["+experiment=NAME"]),
    ("+experiment=mnist_swop", ["experiment=mnist_swop", "did you mean mnist_swap?"]),
    ("-m +experiment=mnist_swap,asker", ["experiment", "one by one"]),
    ("pool.ratio=0.9", ["pool.ratio=0.9", "from 1"]),
    ("pool.ratio=0", ["pool.ratio=0", "from 1"]),
    ("pool.ratio=-1.4", ["pool.ratio=-1.4", "from 1"]),
    ("pool.ratio=nan", ["pool.ratio=nan", "from 1"]),
    ("pool.ratio=inf", ["pool.ratio=inf", "from 1"]),
    ("pool.ratio=null", ["pool.ratio=None", "a number"]),
    ("pool.ratio=1,4", ["pool.ratio=1,4", "-m"]),
    ("pool.ratio=much", ["pool.ratio=much", "a number"]),
    ("pool.ratio=29 dataset=mnist5k", ["28×28", "pool.ratio"]),
    ("pool.window=0", ["pool.window=0", "≥ 1"]),
    ("pool.window=2 pool.overlapping=true", ["pool.window=2", "pool.overlapping"]),
    ("pool.window=29 dataset=mnist5k", ["28×28"]),
    ("pool.regions_per=image", ["pool.regions_per=image", "batch, sample, channel, run"]),
    ("trainer=mirrored model.batch_norm_fused=true", ["model.batch_norm_fused=True", "trainer.strategy=mirrored"]),
    ("backend=tensorflow trainer=seeds dataset=mnist5k", ["backend=tensorflow", "jax for trainer.strategy=seeds"]),
    ("backend=theano", ["backend=theano", "tensorflow, jax, torch"]),
    ("backend=jax dataset=mnist5k", ["backend=jax", "Keras runs on tensorflow", "KERAS_BACKEND=jax", "backend=null"]),
    ("-m backend=jax dataset=mnist5k", ["backend=jax", "KERAS_BACKEND=jax", "backend=null"]),
    ("model.batch_norm_momentum=1.5", ["model.batch_norm_momentum=1.5", "0 ≤ momentum < 1"]),
    ("-m seed=0,1 --cfg job", ["Only one of", "--cfg", "-m"]),
    ("predictions=all", ["predictions=all", "probabilities, classes"]),
    ("dataset=mnist5k dataset.held_out=4000", ["dataset.held_out=4000", "from 1 to 3999", "dataset=mnist5k"]),
    ("dataset=mnist5k dataset.held_out=0", ["dataset.held_out=0", "from 1 to 3999"]),
    ("optimizer.average=1", ["optimizer.average=1", "below 1"]),
    ("pool.pseudo_random=perhaps", ["pool.pseudo_random=perhaps", "true or false"]),
    ("pool=max pool.ratio=1.4", ["pool.ratio=1.4", "pool=fmp"]),
    ("pool=average pool.overlapping=true", ["pool.overlapping=True", "pool=fmp"]),
    ("pool=max model.conv_layers=5 dataset=mnist5k", ["1×1", "model.conv_layers"]),
    ("model.conv_layers=0", ["model.conv_layers=0", "from 1"]),
    ("model.conv_layers=-2", ["model.conv_layers=-2", "from 1"]),
    ("model.conv_layers=2.5", ["model.conv_layers=2.5", "a whole number"]),
    ("model.pools=3 dataset=mnist5k", ["model.pools=3", "model.conv_layers"]),
    ("model.filters=[]", ["model.filters=[]", "at least one"]),
    ("model.filters=[32,-64]", ["model.filters=[32, -64]", "from 1"]),
    ("model.filters=32", ["model.filters"]),
    ("model.dense=[0]", ["model.dense=[0]", "from 1"]),
    ("model.kernel=0", ["model.kernel=0", "from 1"]),
    ("model.activation=rellu", ["model.activation=rellu", "relu"]),
    ("model.dropout=1", ["model.dropout=1", "< 1"]),
    ("model.dropout=-0.1", ["model.dropout=-0.1", "≤"]),
    ("model.batch_norm=maybe", ["model.batch_norm=maybe", "true or false"]),
    ("model.pad_to=20 dataset=mnist5k", ["model.pad_to=20", "28"]),
    ("optimizer.learning_rate=0", ["optimizer.learning_rate=0", "positive"]),
    ("optimizer.learning_rate=nan", ["optimizer.learning_rate=nan", "positive"]),
    ("optimizer.schedule=cosin", ["optimizer.schedule=cosin", "cosine"]),
    ("budget.epochs=0", ["budget.epochs=0", "from 1"]),
    ("budget.epochs=ten", ["budget.epochs=ten", "a whole number"]),
    ("budget.batch_size=0", ["budget.batch_size=0", "from 1"]),
    ("budget.train_examples=0", ["budget.train_examples=0", "≥ 1"]),
    ("budget.train_examples=4001 dataset=mnist5k", ["budget.train_examples=4001", "4000"]),
    ("trainer.strategy=parallel", ["trainer.strategy=parallel", "single, mirrored"]),
    ("trainer.others=[1,2]", ["trainer.others=[1, 2]", "-m seed=0,1,2"]),
    ("-m trainer.others=[1,2]", ["trainer.others=[1, 2]", "-m seed=0,1,2"]),
    ("trainer.at_once=0", ["trainer.at_once=0", "from 1"]),
    ("trainer.strategy=mirrored trainer.devices=0", ["trainer.devices=0", "from 1"]),
    ("trainer.strategy=mirrored trainer.devices=101", ["trainer.devices=101", "budget.batch_size=100"]),
    ("results_dir=s3://bucket/results", ["results_dir=s3://bucket/results", "a folder"]),
    ("model.distort=true", ["model.centre=False", "true with model.distort"]),
    ("budget.plain_epochs=11", ["budget.plain_epochs=11", "budget.epochs=10"]),
    ("budget.plain_epochs=2", ["budget.plain_epochs=2", "model.distort"]),
    ("budget.test_every=0", ["budget.test_every=0", "from 1"]),
    ("budget.test_every=11", ["budget.test_every=11", "budget.epochs=10"]),
    ("pool.match=average", ["pool.match=average", "null, or max"]),
    ("pool=max pool.match=max", ["pool.match=max", "pool=fmp"]),
    ("dataset=mnist5k pool.match=max model.conv_layers=5", ["pool.match=max", "1×1", "too small"]),
    ("model=airbench model.widths=[64,0,128]", ["model.widths=[64, 0, 128]", "from 1"]),
    ("model=airbench model.widths=[64,128]", ["model.conv_layers=6", "4, 2 for each width"]),
    ("model=airbench model.pools=4", ["model.pools=4", "3 (one in each block) or 6"]),
    ("model=airbench model.dropout=0.5", ["model.dropout=0.5", "0.0 with model.widths"]),
    ("model=airbench model.whiten_epochs=-1 optimizer=sgd", ["model.whiten_epochs=-1", "≥ 0"]),
    ("model=airbench", ["model.whiten_epochs=3", "optimizer=adam", "sgd"]),
    ("model.whiten_epochs=3", ["model.whiten_epochs=3", "0 without model.widths"]),
    ("model.batch_norm_scale=false", ["model.batch_norm_scale=False", "model.batch_norm"]),
    ("augmentation.flip=sometimes", ["augmentation.flip=sometimes", "random, alternating"]),
    ("model=airbench optimizer=airbench augmentation.shift=28 dataset=mnist5k", ["augmentation.shift=28", "from 0"]),
    ("augmentation.shift=-1", ["augmentation.shift=-1", "from 0 to 16"]),
    ("augmentation=airbnch", ["augmentation=airbnch", "did you mean airbench?"]),
    ("optimizer.label_smoothing=1", ["optimizer.label_smoothing=1", "0 ≤ share < 1"]),
    ("optimizer.label_smoothing=-0.1", ["optimizer.label_smoothing=-0.1", "0 ≤ share < 1"]),
    ("optimizer.warm_up=0.2", ["optimizer.warm_up=0.2", "optimizer.schedule=constant", "triangular"]),
    ("optimizer.schedule=triangular optimizer.warm_up=1", ["optimizer.warm_up=1", "0 ≤ share < 1"]),
    ("optimizer.schedule=cosine optimizer.rate_end=2", ["optimizer.rate_end=2", "0 ≤ share ≤ 1"]),
    ("optimizer.weight_decay=-1", ["optimizer.weight_decay=-1", "≥ 0"]),
    ("optimizer=sgd optimizer.norm_bias_rate=64", ["optimizer.norm_bias_rate=64", "model.batch_norm"]),
    ("model.batch_norm=true optimizer.norm_bias_rate=64", ["optimizer.norm_bias_rate=64", "optimizer=adam"]),
    ("optimizer.lookahead=5", ["optimizer.lookahead=5", "optimizer=adam", "sgd"]),
    ("optimizer=sgd optimizer.lookahead=5 optimizer.average=0.9", ["optimizer.average=0.9", "optimizer.lookahead"]),
    ("views=mirror", ["views=mirror", "flip, flip_shift"]),
    (
        "model.batch_norm=true model.batch_norm_fused=true precision=mixed_bfloat16",
        ["precision=mixed_bfloat16", "model.batch_norm_fused"],
    ),
    ("trainer=mirrored optimizer=sgd optimizer.lookahead=5", ["trainer.strategy=mirrored", "optimizer.lookahead"]),
    ("precision=float16", ["precision=float16", "float32, mixed_bfloat16"]),
    ("seed=-1", ["seed=-1", "from 0"]),
    ("seed=0,1", ["seed=0,1", "-m"]),
    ("seed=abc", ["seed=abc", "a whole number"]),
    ("-m seed=range(3,3)", ["seed=range(3,3)", "at least one"]),
    ("-m seed=", ["seed="]),
    ("-m pool=max model.conv_layers=5,6 dataset=mnist5k", ["nothing to run"]),
    ("-m budget.epochs=3,0,10 dataset=mnist5k", ["budget.epochs=0", "from 1"]),
    (
        "-m budget.epochs=3,1 budget.plain_epochs=2 model=graham model.distort=true model.centre=true pool=fmp",
        ["budget.plain_epochs=2", "budget.epochs=1"],
    ),
    (
        "-m budget.epochs=10,1 optimizer.schedule=cosine optimizer.warm_up=0.2 budget.train_examples=100 "
        "budget.batch_size=50 dataset=mnist5k",
        ["budget.epochs=1", "at least 3 with optimizer.warm_up=0.2", "no step of 2 an epoch"],
    ),
    ("-m pool=max,fmpp", ["pool=fmpp", "did you mean fmp?"]),
    ("-m pool=fmp pool.ratio=1.4,0.4 dataset=mnist5k", ["pool.ratio=0.4"]),
    ("repeats=0", ["repeats=0", "from 1"]),
    ("retry=yes", ["retry=yes", "failed"]),
    ("logger=wandb", ["logger=wandb", "none, tensorboard, mlflow"]),
    ("profile=../elsewhere", ["profile", "folder name"]),
    ("task=trian", ["task=trian", "train"]),
    ("task=gradient pool=max", ["pool=max", "fmp"]),
    ("seed==3", ["seed==3"]),
    ("dataset=mnist dataset.data_dir=/proc/nowhere/tfds", ["/proc/nowhere/tfds", "TFDS_DATA_DIR", "mnist5k"]),
    ("+hydra.callbacks.x._target_=os.system", ["hydra.callbacks.x._target_=os.system", "leave it out"]),
    ("-m hydra.launcher._target_=os.system", ["hydra.launcher._target_=os.system", "hydra/launcher=basic, joblib"]),
    ("-m +hydra.launcher.x._target_=os.system", ["hydra.launcher.x._target_=os.system", "leave it out"]),
    ("-m hydra.sweeper._target_=os.system", ["hydra.sweeper._target_=os.system", "hydra/sweeper=fracpool"]),
    ("-m hydra/sweeper=optuna", ["hydra/sweeper=optuna", "docs/tuning.md"]),
    ("-m hydra/sweeper=basic", ["BasicSweeper", "hydra/sweeper=fracpool", "docs/tuning.md"]),
    ("-m hydra/launcher=slurm", ["hydra/launcher=slurm", "joblib"]),
    ("--cfg hydra +hydra.callbacks.x._target_=os.system", ["hydra.callbacks.x._target_=os.system"]),
    ("--help +hydra.callbacks.x._target_=os.system", ["hydra.callbacks.x._target_=os.system"]),
    ("+hydra.job.env_set.PATH=/elsewhere", ["hydra.job.env_set.PATH", "in the shell"]),
    ("--experimental-rerun=config.pickle", ["--experimental-rerun=config.pickle", "unpickle"]),
    ("--config-dir=nowhere seed=1", ["nowhere", "not found"]),
    ("--seed 1", ["--seed", "FIELD=VALUE"]),
    ("seed=1 -m pool=max", ["pool=max", "before FIELD=VALUE"]),
    ("results_dir=/proc/results dataset=mnist5k", ["results_dir=/proc/results", "cannot be written"]),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_bad_input_gets_one_line(train, folder, no_network, line, said):
    result = train(*line.split())
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1, result.err
    for words in said:
        assert words in result.err
    assert "Traceback" not in result.err + result.out
    assert list(folder.iterdir()) == []


def test_full_error_gives_the_traceback(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(BaseException, match="from 1"):
        train("budget.epochs=0")


@pytest.mark.parametrize(
    "arguments",
    [["fracpool.train", "--help"], ["fracpool.train", "--cfg", "job"], ["fracpool.train", "seed=x"]],
    ids=["help", "config", "bad input"],
)
def test_nothing_heavy_is_imported_to_help_or_to_refuse(arguments, folder):
    watched = "import runpy, sys; sys.argv = sys.argv[1:]\ntry: runpy.run_module(sys.argv[0], run_name='__main__')\n"
    watched += "finally: sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", watched, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []


def test_help_lists_every_group_and_field(train):
    result = train("--help")
    assert (result.code, result.err) == (0, "")
    text = result.out
    for word in (
        "dataset: cifar10, mnist, mnist5k",
        "pool: average, fmp, fractional_average, gated, max",
        "conv_layers",
        "Examples",
    ):
        assert word in text


def test_a_config_folder_of_ones_own_is_found(train, folder):
    own = folder / "own" / "model"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults: [plain]\nname: mine\nconv_layers: 1\n")
    result = train("--config-dir", str(folder / "own"), "dataset=mnist5k", "model=mine", "plan=true")
    assert (result.code, result.err) == (0, "")
    assert "mine1" in result.out


@pytest.mark.parametrize("part", ["runs", "sweeps", "unfinished", "claims", "damaged"])
def test_nothing_is_written_through_a_link_out_of_the_results(train, folder, part):
    (folder / "elsewhere").mkdir()
    (folder / "results" / "mine").mkdir(parents=True)
    (folder / "results" / "mine" / part).symlink_to(folder / "elsewhere")
    result = train("dataset=mnist5k", "pool=max")
    assert result.code == 2
    assert f"mine/{part} is a link" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert list((folder / "elsewhere").iterdir()) == []


def test_a_working_directory_that_is_gone_gets_one_line(train, folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    result = train("dataset=mnist5k", "pool=max")
    assert result.code == 1
    assert "No such file or directory" in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(train, folder):
    Path("locked").mkdir(mode=0o500)
    result = train("results_dir=locked", "dataset=mnist5k")
    assert result.code == 2
    assert "results_dir=locked" in result.err


def test_a_backend_that_keras_does_not_have_is_refused(train, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpi")
    result = train(*TINY)
    assert (result.code, result.out) == (2, "")
    assert result.err == "KERAS_BACKEND=numpi: must be one of tensorflow, jax, torch\n"


def test_seeds_in_one_program_cannot_be_followed_by_a_logger(train, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = train(*TINY, "trainer=seeds", "logger=tensorboard")
    assert result.code == 2
    assert result.err.startswith("logger=tensorboard: must be none with trainer.strategy=seeds")


def test_a_strategy_that_a_backend_does_not_have_is_refused(train, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = train(*TINY, "trainer=mirrored")
    assert result.code == 2
    assert result.err == "KERAS_BACKEND=jax: must be tensorflow for trainer.strategy=mirrored\n"


def test_help_explains_every_field(train):
    lines = train("--help").out.splitlines()
    told = {line.split(":")[0].strip() for line in lines if re.match(r" *\w+: \S+ {2,}\S", line)}
    fields = {name.rsplit(".", 1)[-1] for name in hydra_errors.names() if not name.startswith("experiment")}
    groups = {"dataset", "pool", "model", "optimizer", "budget", "augmentation", "trainer"}
    assert fields - told - groups == {"name", "kind"}


def test_help_shows_the_values_that_were_chosen(train):
    out = train("--help", "pool=max", "model.filters=[8,16,32,64,128,256,512]").out
    assert "kind: max" in out
    assert "filters: [8,16,32,64,128,256,512]  stretched" in out


@pytest.mark.parametrize("module", ["geometry", "report", "reproduce", "status"])
def test_help_of_the_other_commands_reads_like_documentation(module):
    started = [sys.executable, "-X", "importtime", "-m", f"fracpool.{module}", "--help"]
    done = subprocess.run(started, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert f"examples:\n  python -m fracpool.{module}" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert not re.search(r"\b(tensorflow|pandas|matplotlib)$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("geometry", ["32", "--ratio", "much"]),
        ("report", ["--nowhere"]),
        ("reproduce", ["--jobs", "x"]),
        ("status", ["-x"]),
    ],
)
def test_an_argument_that_is_not_understood_gets_one_line(module, arguments):
    done = subprocess.run([sys.executable, "-m", f"fracpool.{module}", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--help" in done.stderr


COMPLETED = [
    ("poo", "pool="), ("pool=", "pool=fmp"), ("pool.ra", "pool.ratio="), ("model=as", "model=asker"),
    ("+experiment=mnist_sw", "+experiment=mnist_swap"), ("budget.ep", "budget.epochs="),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "completion"), COMPLETED)
def test_a_shell_completes_groups_options_and_fields(typed, completion):
    command = Path(sys.executable).with_name("fracpool-train")
    line = f"fracpool-train {typed}"
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    asked = [command, "--shell-completion", "query=bash"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert any(word.startswith(completion) for word in done.stdout.split()), done.stdout


def test_completion_is_installed_for_bash():
    asked = [Path(sys.executable).with_name("fracpool-train"), "-sc", "install=bash"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert "complete -o nospace -o default -F hydra_bash_completion fracpool-train" in done.stdout


def test_a_reader_who_has_read_enough_is_no_error(folder):
    command = f"{sys.executable} -m fracpool.train -m +experiment=mnist_swap dataset=mnist5k plan=true | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.stderr, len(done.stdout.splitlines())) == ("", 1)


DEAF = """
import gc, os, signal, sys, time
from fracpool.command_line import listen
listen()
def collected(phase, info):
    gc.callbacks.remove(collected)
    os.kill(os.getpid(), signal.{signal})
    for _ in range(1000):  # the signal is heard here, where Python drops what is raised
        pass
gc.callbacks.append(collected)
try:
    gc.collect()
    for _ in range(50):
        time.sleep(0.1)
    print("not heard")
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_is_heard_while_garbage_is_collected(name):
    code = DEAF.replace("{signal}", name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=hears_ctrl_c)
    assert (done.stdout, done.stderr, done.returncode) == ("heard\n", "", 0)
