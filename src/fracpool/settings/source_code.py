"""Code by what it does: a syntax tree that is blind to comments, docstrings and layout."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return repr(_structure(tree))


def _structure(part: Any) -> Any:
    """A syntax tree as tuples. Fields without a value are left out: which of them there are depends on the version of
    Python, as does the text that a tree is written as."""
    if isinstance(part, list):
        return [_structure(each) for each in part]
    if not isinstance(part, ast.AST):
        return part
    if isinstance(part, ast.JoinedStr):  # some versions of Python end a format with an empty text
        part.values = [value for value in part.values if getattr(value, "value", None) != ""]
    fields = [(name, _structure(value)) for name, value in ast.iter_fields(part) if value not in (None, [])]
    return type(part).__name__, fields
