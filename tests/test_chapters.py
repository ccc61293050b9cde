"""Every chapter keeps the template; every exercise has a stub, a check, and a solution that the check accepts."""

import ast
import re
from pathlib import Path

import jupytext
import pytest
import torch
import yaml
from make_notebooks import Converter

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))


def sections(path):
    """(kind, label, code cells) of each exercise and solution, and the cells outside of both."""
    found, outside, current = [], [], None
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code":
            (current[2] if current else outside).append(cell.source)
            continue
        for match in re.finditer(r"\{(exercise|solution)-(start|end)\} *([^\n]*)(?:\n:label: (\S+))?", cell.source):
            kind, edge, title, label = match.groups()
            current = (kind, label or title.strip(), []) if edge == "start" else found.append(current)
    return found, outside


def by_label(path, kind):
    return {label: cells for k, label, cells in sections(path)[0] if k == kind}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_template(path):
    text, (_, outside) = path.read_text(), sections(path)
    exercises, solutions = by_label(path, "exercise"), by_label(path, "solution")
    assert len(outside) <= 40 and all(len(cell.splitlines()) <= 25 for cell in outside)
    assert all(len(line) <= 88 for cell in outside for line in cell.splitlines()), "wider than the page"
    assert len(exercises) >= 4
    assert list(exercises.values())[-1] == []  # the last one is open: questions instead of a check
    assert set(list(exercises)[:-1]) == set(solutions)
    assert text.count("} Predict first") >= 2 and text.count("} A mistake you will meet") >= 1
    assert "show_source" in text and "assert_close" in text
    assert re.search(r"show\.(explore|player|text_player)\(", text)
    assert re.search(r"^ +description: \".{50,200}\"$", text, re.M)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_included_code_is_no_wider_than_the_page(path):
    convert = Converter(path, "https://h/o/r", "main", None).markdown
    for directive in re.findall(r"^```\{literalinclude\}.*?^```$", path.read_text(), re.M | re.S):
        assert all(len(line) <= 88 for line in convert(directive).splitlines()), directive


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_claims_say_their_sentence_in_one_piece(path):
    """A claim stands where everybody sees it: not under a condition that might never be true."""
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code" and "show.claim(" in cell.source:
            for node in ast.walk(ast.parse(cell.source)):
                assert not (isinstance(node, ast.If | ast.Try) and "show.claim" in ast.unparse(node)), cell.source


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_stubs_are_open_and_solutions_are_accepted(path):
    module = f"aigc_lib.exercises.{path.stem}"
    for label, cells in list(by_label(path, "exercise").items())[:-1]:
        stub, call = cells
        scope = {}
        imports = f"import math\nimport torch\nimport torch.nn.functional as F\nimport {module} as check\n"
        exec(imports + stub, scope)
        assert eval(call, scope).status == "not attempted", label
        answer = by_label(path, "solution")[label][-1]
        tree = ast.parse(answer)  # the functions only: pictures drawn beside them need the chapter's variables
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)]
        exec(compile(tree, label, "exec"), scope)
        assert answer.strip().splitlines()[-1] == call.strip(), label
        for seed in range(3):
            torch.manual_seed(seed)
            assert eval(call, scope).status == "right", label


def test_every_chapter_is_in_the_table_of_contents_and_on_the_landing_page():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {c["file"] for part in toc["parts"] for c in part["chapters"] if c["file"].startswith("chapters/")}
    assert listed == {f"chapters/{path.stem}" for path in CHAPTERS}
    landing = (ROOT / "book" / "index.md").read_text()
    assert all(f"(../chapters/{path.name})" in landing for path in CHAPTERS)


def test_one_repository_address():
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    for name in ("README.md", "CITATION.cff", "book/how-to-use.md"):
        assert url in (ROOT / name).read_text(), f"{name} names another repository than _config.yml"
