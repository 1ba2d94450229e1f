"""Every experiment of the repository plans, with findings that its own grid can answer."""

import pytest
from documents import ROOT

pytestmark = pytest.mark.slow  # a second each

EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_plans(name, train, monkeypatch, tmp_path):
    """Without its data: what is missing is said, and the findings are checked all the same."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    result = train("-m", f"+experiment={name}", "plan=true")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{name}: ")
    assert "not judged" not in result.out
