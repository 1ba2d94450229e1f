"""Where fracpool's own configs and experiments lie: in the checkout, or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def _find(name: str) -> Path:
    in_checkout = _CHECKOUT / name
    return in_checkout if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir() else _PACKAGE / name


def configs() -> Path:
    return _find("configs")


def experiments() -> Path:
    return _find("experiments")
