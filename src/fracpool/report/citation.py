"""How this software and the method are cited, with the data of CITATION.cff, and where both can be read about."""

from __future__ import annotations

PAPER = "https://arxiv.org/abs/1412.6071"
OP = "https://www.tensorflow.org/api_docs/python/tf/nn/fractional_max_pool"
TITLE = "fracpool: does fractional max pooling beat 2×2 max pooling, and when?"
AUTHORS = "The fracpool developers"
METHOD = """\
@article{graham2014fractional,
  author  = {Graham, Benjamin},
  title   = {Fractional Max-Pooling},
  journal = {arXiv preprint arXiv:1412.6071},
  year    = {2014}
}"""


def bibtex(version: str) -> str:
    """Two entries: the software in the version that the runs were made with, and Graham's paper."""
    fields = {"author": f"{{{AUTHORS}}}", "title": TITLE, **({"version": version} if version else {})}
    software = ",\n".join(f"  {name:<7} = {{{value}}}" for name, value in fields.items())
    return f"@software{{fracpool,\n{software}\n}}\n\n{METHOD}"
