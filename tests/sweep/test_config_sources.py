"""A config of one's own whose name is taken is refused, with both files named: Hydra would read fracpool's."""

import pytest

from fracpool.settings import config_files


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["one run", "sweep"])
@pytest.mark.parametrize(
    ("file", "choice"),
    [
        ("pool/gated.yaml", "pool=gated"),
        ("experiment/mnist_swap.yaml", "+experiment=mnist_swap"),
        ("dataset/mnist5k.yaml", "pool=max"),  # whether it is chosen or not: nothing could choose it
        ("hydra/launcher/ray.yaml", "pool=max"),
    ],
)
def test_a_name_that_is_taken_is_refused(train, folder, file, choice, mode):
    own = folder / "my" / file
    own.parent.mkdir(parents=True)
    own.write_text("kind: mine\n")
    result = train("--config-dir", "my", *mode, choice, "plan=true", *(["dataset=mnist5k"] if "pool" in choice else []))
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"{own}: would be hidden behind {config_files.configs() / file}")
    assert f"my_{own.name}" in result.err


def test_fracpools_own_folder_hides_nothing_of_itself(train, folder):
    result = train("--config-dir", str(config_files.configs()), "-m", "dataset=mnist5k", "pool=max,fmp", "plan=true")
    assert (result.code, result.err) == (0, "")
