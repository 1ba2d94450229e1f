"""docs/layer.md: its snippets run one after another. On every backend."""

from documents import blocks


def test_snippets_of_the_page():
    code = [text for _, text in blocks("docs/layer.md", "python")]
    assert len(code) >= 5
    exec("\n".join(code), {})
