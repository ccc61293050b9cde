"""notebooks/ is in sync with chapters/, free of MyST, and installs the library by itself."""

import re
import shutil
from pathlib import Path

import make_notebooks
import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RAW_MYST = re.compile(r"^(`{3,}|:{3,})\{|\{[\w:]+\}`|^\([\w:-]+\)=|\$\$ \([\w:-]+\)", re.M)


def test_in_sync():
    assert make_notebooks.stale() == [], "run `make notebooks`"


@pytest.mark.parametrize("damage", ["edited", "missing", "orphan"])
def test_a_notebook_out_of_sync_is_seen(tmp_path, damage):
    for name in ("chapters", "notebooks", "book"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests" / "parity", tmp_path / "tests" / "parity")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    path = tmp_path / "notebooks" / NOTEBOOKS[0].name
    if damage == "edited":
        path.write_text(path.read_text().replace("digits", "numbers", 1))
    elif damage == "missing":
        path.unlink()
    else:
        path = shutil.copy(path, tmp_path / "notebooks" / "orphan.ipynb")
    assert make_notebooks.stale(tmp_path) == [Path(path).name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_reads_well_without_jupyter_book(path):
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            outside_code = re.sub(r"^```\w*\n.*?^```$", "", cell.source, flags=re.S | re.M)
            assert not RAW_MYST.search(outside_code), cell.source
            assert cell.source.count("<details>") == cell.source.count("</details>"), cell.source
            assert not re.search(r"\]\((?!http|#)", outside_code), f"a link that leads nowhere in Colab: {cell.source}"
        else:
            assert cell.outputs == [] and cell.execution_count is None
    assert nb.cells[0].cell_type == "code" and len(nb.cells[0].source.splitlines()) == 1


def test_the_first_cell_installs_only_where_the_library_is_missing():
    source = make_notebooks.install_cell("https://example.org/o/r", "main").source
    calls = []

    class Shell:
        def run_line_magic(self, *args):
            calls.append(args)

    for _ in range(2):  # safe to run twice
        exec(source, {"get_ipython": Shell})
    assert calls == []
    exec(source.replace('"aigc_lib"', '"no_such_library"'), {"get_ipython": Shell})
    assert calls == [("pip", "install -q git+https://example.org/o/r@main")]


@pytest.fixture
def convert(tmp_path):
    references = make_notebooks.parse_file(ROOT / "book" / "references.bib")
    source = ROOT / "chapters" / "vae.md"
    return make_notebooks.Converter(source, "https://h/o/r", "main", references).markdown


@pytest.mark.parametrize(
    "myst, plain",
    [
        ("(label)=\n# Title", "# Title"),
        (":::{admonition} Look\n:class: tip\nat *this*\n:::", "> **Look**\n>\n> at *this*"),
        (":::{admonition} A\n:class: dropdown\nyes\n:::", "<details><summary>A</summary>\n\nyes\n\n</details>"),
        ("::::{note}\nouter\n:::{tip}\ninner\n:::\n::::", "> **Note**\n>\n> outer\n> > **Tip**\n> >\n> > inner"),
        ("$$ a = b $$ (law)", r"$$ a = b \tag{law} $$"),
        ("see {eq}`law`", "see (law)"),
        ("by {cite:t}`kingma2014`", "by [Kingma & Welling (2014)](https://arxiv.org/abs/1312.6114)"),
        ("{cite:t}`kynkaanniemi2019`", "[Kynkäänniemi et al. (2019)](https://arxiv.org/abs/1904.06991)"),
        ("{cite:p}`rezende2014`", "([Rezende et al., 2014](https://arxiv.org/abs/1401.4082))"),
        ("[n](../book/notation.md#shapes)", "[n](https://h/o/r/blob/main/book/notation.md#shapes)"),
        ("[v](vae.md)", "[v](https://h/o/r/blob/main/notebooks/vae.ipynb)"),
        ("```python\nx = {1: 2}  # {eq}`stays`\n```", "```python\nx = {1: 2}  # {eq}`stays`\n```"),
        ("```{image} ../book/_static/a.png\n:alt: a cat\n```", "![a cat](https://h/o/r/raw/main/book/_static/a.png)"),
    ],
)
def test_rules(convert, myst, plain):
    assert convert(myst) == plain


@pytest.mark.parametrize(
    "myst", ["```{unheard-of}\n```", "{unheard}`of`", "{cite:t}`nobody1900`", ":::{note}\nnever closed"]
)
def test_what_has_no_rule_is_an_error(convert, myst):
    with pytest.raises(ValueError, match="vae.md"):
        convert(myst)
