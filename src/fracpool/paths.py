"""Where fracpool's own configs and experiments lie: in the checkout, or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def configs() -> Path:
    """configs/, whose folder `experiment` is the checkout's experiments/."""
    in_checkout = _CHECKOUT / "configs"
    return in_checkout if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir() else _PACKAGE / "configs"
