"""The glossary has every term that a chapter defines, and each first use leads to it."""

import re
from pathlib import Path

import pytest
from glossary import Entry, Linker, defined, entries, pieces

ROOT = Path(__file__).resolve().parent.parent
KNOWN = entries(ROOT / "book" / "glossary.md")
CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))
LEAD_INS = {"You need", "It takes"}  # bold, and no term; so is what ends in a stop or a colon
TERMS = [Entry(("mode collapse",), "m"), Entry(("code (of an autoencoder)",), "c"), Entry(("generator",), "g")]
TERMS += [Entry(("random generator",), "r"), Entry(("evidence lower bound", "ELBO"), "e")]


def bold(text):
    found = [b for prose, piece in pieces(text) if prose for b in re.findall(r"\*\*([^*]+)\*\*", piece)]
    return [b for b in found if b not in LEAD_INS and not b.endswith((".", ":"))]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_every_bold_term_is_in_the_glossary(path):
    assert [b for b in bold(path.read_text()) if not any(entry.is_called(b) for entry in KNOWN)] == []


def test_every_entry_is_defined_in_a_chapter_outside_of_folds():
    found = [entry for path in CHAPTERS for entry in defined(KNOWN, path.read_text())]
    assert [entry.names[0] for entry in KNOWN if entry not in found] == []


def test_entries_are_in_order_with_one_line_and_a_chinese_name():
    assert [e.names[0].lower() for e in KNOWN] == sorted(e.names[0].lower() for e in KNOWN)
    for entry in KNOWN:
        assert re.fullmatch(r"[A-Z].{15,160}\. [^.]*[\u4e00-\u9fff]+[^.]*\.", entry.meaning), entry
    names = [name for entry in KNOWN for name in entry.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_each_term_of_a_chapter_is_linked_once_and_nothing_else_changes(path):
    text = path.read_text()
    linked = Linker(KNOWN)(text)
    roles = re.findall(r"\{term\}`([^`]*) <([^<>]*)>`", linked)
    assert len(roles) >= len(defined(KNOWN, text)) and len({name for _, name in roles}) == len(roles)
    plain = re.sub(r"\{term\}`([^`]*) <[^<>]*>`", r"\1", linked)
    assert plain.split() == text.split()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("A mode\ncollapse. Mode collapse.", "A {term}`mode collapse <mode collapse>`. Mode collapse."),
        ("The code is **code**.", "The code is **{term}`code <code (of an autoencoder)>`**."),
        ("random generators", "{term}`random generators <random generator>`"),
        ("Generators, modes", "{term}`Generators <generator>`, modes"),
        ("a random generator, a random generator", "a {term}`random generator <random generator>`, a random generator"),
        ("The ELBO is an evidence lower bound", "The {term}`ELBO <ELBO>` is an evidence lower bound"),
        ("`generator` $generator$ [generator](a.md) {cite}`generator`", None),
        ("# generator\n\n```python\ngenerator\n```\n(generator)=\n$$\ngenerator\n$$", None),
        ("```{code-cell}\ngenerator\n```\n:::{note}\n:class: dropdown\ngenerator\n:::", None),
        ("---\ntitle: generator\n---", None),
        ("$$ x $$ (generator)", None),
        ("```{note} A\ngenerator\n```\ngenerator", "```{note} A\n{term}`generator <generator>`\n```\ngenerator"),
        ("generators-to-be and degenerator", None),
    ],
)
def test_where_a_term_is_linked(text, wanted):
    assert Linker(TERMS)(text) == (text if wanted is None else wanted)


def test_the_section_that_defines_a_term_is_found():
    text = "# T\n\n## One\n\na **code**\n\n## Two\n\n**mode\ncollapse**, **code**"
    assert defined(TERMS, text) == {TERMS[1]: "## One", TERMS[0]: "## Two"}
