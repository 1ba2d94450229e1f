"""What a run ran on: versions, machine and commit, as far as they can be told without loading anything."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "hydra-core")


@lru_cache(maxsize=1)
def describe(threads: int) -> dict[str, Any]:
    """The `environment` part of a run record. No host name, user or path: records get published.

    `threads` share the sums of one run; results repeat bit for bit only with the same number.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": cores(),
        "threads": threads,
        "backend": backend(),
        **_accelerator(),
        "commit": commit(),
        **packages(),
        **({backend(): _version(backend())} if backend() != "tensorflow" else {}),
    }


def packages() -> dict[str, str | None]:
    """The versions of fracpool and of what it computes with."""
    return {name: _version(name) for name in ("fracpool", *PACKAGES)}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _accelerator() -> dict[str, str]:
    """The model of the first GPU that the backend of this process computes on; {} where there is none."""
    loaded, name = sys.modules.get(backend()), None
    if loaded is not None:
        name = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}[backend()](loaded)
    return {"gpu": name} if name else {}


def _tensorflow_gpu(tf: Any) -> str | None:
    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU") if found else None


def _jax_gpu(jax: Any) -> str | None:
    first = jax.devices()[0]
    return str(first.device_kind) if first.platform == "gpu" else None


def _torch_gpu(torch: Any) -> str | None:
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The checkout's commit, with + when tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        name = _git(root, "rev-parse", "--short=12", "HEAD")
        return name + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def backend() -> str:
    """Keras' backend, found as Keras does without loading it: KERAS_BACKEND, else its file, else TensorFlow."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    try:
        return str(json.loads(_file_of_keras().read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow"


def _file_of_keras() -> Path:
    """Where Keras reads settings from; it falls back on /tmp where there is no home, or one that it cannot write."""
    home = os.path.expanduser("~")
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.path.join(os.environ.get("KERAS_HOME", usual), "keras.json")))


def numerics(backend: str) -> dict[str, str]:
    """Variables of the shell that change how a backend rounds or draws, where they are set to something else than its
    default. Paths and what is only written out leave a result as it is, and are left out."""
    found = {}
    for name, default in (_NUMERICS["every"] | _NUMERICS.get(backend, {})).items():
        words = [word for word in os.environ.get(name, "").split() if not _WITHOUT_EFFECT.search(word)]
        if words and " ".join(words).lower() != default:
            found[name] = " ".join(words)
    return found


# By backend, name and default ("" where leaving it out is something else than any value).
_NUMERICS: dict[str, dict[str, str]] = {
    "every": {"XLA_FLAGS": "", "NVIDIA_TF32_OVERRIDE": "", "ONEDNN_DEFAULT_FPMATH_MODE": "strict"},
    "tensorflow": {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_SET_ONEDNN_FPMATH_MODE": "", "TF_XLA_FLAGS": ""},
    "jax": {
        "JAX_ENABLE_X64": "0",
        "JAX_DEFAULT_DTYPE_BITS": "64",
        "JAX_DEFAULT_MATMUL_PRECISION": "",
        "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
        "JAX_RANDOM_SEED_OFFSET": "0",
        "JAX_THREEFRY_PARTITIONABLE": "1",
    },
    "torch": {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"},
}
_WITHOUT_EFFECT = re.compile(r"/|^--xla_dump|^--xla_force_host_platform_device_count=")


def command(arguments: Sequence[str], wanted: str | None = None) -> str:
    """A command line of `fracpool.train` as it has to be typed to compute as this process does, or on a `wanted`
    backend."""
    on = wanted or backend()
    chosen = {} if on == "tensorflow" else {"KERAS_BACKEND": on}
    variables = [f"{name}={shlex.quote(value)} " for name, value in (chosen | numerics(on)).items()]
    return f"{''.join(variables)}python -m fracpool.train {shlex.join(arguments)}".rstrip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
