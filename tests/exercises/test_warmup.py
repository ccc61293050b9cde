"""What is special about the warm-up: fifteen questions, and each hint names a section that repairs the gap."""

import inspect
import re
from pathlib import Path

import pytest
from answers_warmup import RIGHT, WRONG, check

CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "warmup.md"


def test_fifteen_questions():
    assert len(check.__all__) == 15 and list(RIGHT) == list(WRONG) == check.__all__


@pytest.mark.parametrize("name", RIGHT)
def test_every_hint_names_a_repair_of_the_chapter_and_the_question_links_to_it(name):
    text = CHAPTER.read_text()
    (title,) = {
        re.search(r"[.?!] Repair: “(.+)”, further down in this chapter\.$", getattr(check, name)(answer).message)[1]
        for answer, _ in WRONG[name]
    }
    label = re.search(rf"^\(([\w-]+)\)=\n### {re.escape(title)}$", text, re.M)[1]
    task = text[: text.index(f"check.{name}(")].rpartition("{exercise-start}")[2]
    assert f"[{title}](#{label})" in task


def test_the_docstrings_give_the_shapes():
    assert all(inspect.getdoc(getattr(check, name)).startswith("answer(") for name in check.__all__)
