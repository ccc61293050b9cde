"""The execution of pages: several at once, only what changed, and whatever happens a result to show."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import build_site
import nbformat
import pages
import parallel
import pytest
import stress

from aigc_lib import show

HEAD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

"""
CLAIM = "print('✗ one is two\\n  Not so in this run.')"


def cells(*sources):
    return HEAD + "\n".join(f"Some words.\n\n```{{code-cell}}\n{source}\n```\n" for source in sources)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small repository: a package with three modules and a data file, and two chapters that use some of them."""
    package = tmp_path / "aigc_lib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text("value = 1\n")
    (package / "high.py").write_text("from aigc_lib.low import value\n")
    (package / "other.py").write_text("value = 2\n")
    (package / "weights.bin").write_text("three")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    (tmp_path / "chapters").mkdir()
    read = f"from pathlib import Path\nprint(Path({str(package)!r}, 'weights.bin').read_text())"
    (tmp_path / "chapters" / "a.md").write_text(cells("from aigc_lib.high import value\nprint(value)"))
    (tmp_path / "chapters" / "b.md").write_text(cells("from aigc_lib import other\nprint(other.value)", read))
    (tmp_path / "chapters" / "words.md").write_text("# No code\n")
    toc = "parts:\n  - chapters:\n" + "".join(f"      - file: chapters/{name}\n" for name in ("a", "b", "words"))
    (tmp_path / "_toc.yml").write_text(toc)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def out_of_date(root):
    executed = pages.Executed(root)
    return {page: why for page in pages.with_code(root) if (why := executed.reason(page))}


def printed(root, page):
    nb = pages.Executed(root).notebook(page)
    return "".join(o.get("text", "") for c in nb.cells if c.cell_type == "code" for o in c.outputs)


def test_a_page_is_executed_again_only_when_something_it_uses_changed(root, capsys):
    assert out_of_date(root) == {"chapters/a": "it is new", "chapters/b": "it is new"}
    build_site.execute(root)
    said = capsys.readouterr().out
    assert said.count("starts") == 2 and said.count(" s\n") == 2  # a line when each starts, a line when each ends
    assert out_of_date(root) == {}
    assert printed(root, "chapters/a") == "1\n" and printed(root, "chapters/b") == "2\nthree\n"
    (root / "aigc_lib" / "low.py").write_text("value = 10\n")  # imported by a module that a imports
    assert out_of_date(root) == {"chapters/a": "aigc_lib/low.py changed"}
    build_site.execute(root)
    assert capsys.readouterr().out.count("starts") == 1 and printed(root, "chapters/a") == "10\n"
    (root / "aigc_lib" / "weights.bin").write_text("four")
    assert out_of_date(root) == {"chapters/b": "aigc_lib/weights.bin changed"}
    (root / "aigc_lib" / "weights.bin").write_text("three")  # as it was
    chapter = root / "chapters" / "a.md"
    chapter.write_text(chapter.read_text().replace("Some words", "Other words"))
    (root / "aigc_lib" / "unused.py").write_text("")
    assert out_of_date(root) == {}
    chapter.write_text(chapter.read_text().replace("print(value)", "print(-value)"))
    assert out_of_date(root) == {"chapters/a": "its code changed"}
    (root / "requirements.lock").write_text("torch==2\n")
    assert set(out_of_date(root)) == {"chapters/a", "chapters/b"}


def test_a_failing_cell_and_a_false_claim_are_named_and_the_rest_goes_on(root):
    (root / "chapters" / "a.md").write_text(cells("print('before')", "1 / 0", "print('after')"))
    (root / "chapters" / "b.md").write_text(cells("x = 1", CLAIM, "print('after')"))
    executed = build_site.execute(root)
    first, second = executed.problems()
    assert str(first) == "chapters/a.md, line 23: ZeroDivisionError: division by zero" and first.failed
    assert str(second) == "chapters/b.md, line 23: ✗ one is two" and not second.failed
    text = (root / "chapters" / "a.md").read_text().splitlines()
    assert text[first.line - 1] == "1 / 0"
    assert printed(root, "chapters/a") == "before\n"  # the page shows how far it came
    assert printed(root, "chapters/b").endswith("after\n")
    assert out_of_date(root) == {"chapters/a": "a cell failed last time"}  # a claim is the same next time
    assert [p.message for p in pages.Executed(root).problems()] == [first.message, second.message]  # not forgotten


def test_a_kernel_that_dies_or_takes_too_long_is_named(root, tmp_path, monkeypatch):
    import execute

    (root / "chapters" / "a.md").write_text(cells("import os", "os._exit(3)"))
    executed = build_site.execute(root)
    (problem,) = executed.problems()
    assert problem.line == 23 and "DeadKernelError" in problem.message
    kernelless = (root / "chapters" / "a.md").read_text().replace("name: python3", "name: no-such-kernel")
    monkeypatch.setattr(execute, "KERNEL", "no-such-kernel")
    (root / "chapters" / "words.md").write_text(kernelless)
    early = tmp_path / "early"
    early.mkdir()
    nb = execute.execute(root / "chapters" / "words.md", early, root)  # before any cell has started
    (problem,) = pages.problems_of(nb, "chapters/words", kernelless)
    assert "no-such-kernel" in problem.message or "NoSuchKernel" in problem.message
    monkeypatch.undo()
    (root / "chapters" / "a.md").write_text(cells("import time", "time.sleep(60)"))
    out = tmp_path / "out"
    out.mkdir()
    nb = execute.execute(root / "chapters" / "a.md", out, root, timeout=1)
    (problem,) = pages.problems_of(nb, "chapters/a", (root / "chapters" / "a.md").read_text())
    assert problem.line == 23 and "Timeout" in problem.message


def test_no_page_sees_what_another_wrote(root):
    (root / "chapters" / "a.md").write_text(cells("open('left', 'w').write('by a')"))
    (root / "chapters" / "b.md").write_text(cells("open('left').read()"))
    for _ in pages.Executed(root).run(["chapters/a"], 1):
        pass
    (problem,) = build_site.execute(root).problems()
    assert problem.page == "chapters/b" and "FileNotFoundError" in problem.message


def start(root):
    code = (
        f"import build_site, pathlib; build_site.stop_on_terminate(); build_site.execute(pathlib.Path({str(root)!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{pages.ROOT / 'tools'}{os.pathsep}{root}", "AIGC_JOBS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def kernels(root):
    """Process numbers of kernels that work for `root`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            mine = f"KERNEL_OF={root}".encode() in path.read_bytes()
            if mine and b"ipykernel_launcher" in path.with_name("cmdline").read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for kernels in /proc")
def test_an_interrupted_build_leaves_no_process_and_is_taken_up_again(root, monkeypatch):
    monkeypatch.setenv("KERNEL_OF", str(root))
    (root / "chapters" / "b.md").write_text(cells("import time\ntime.sleep(2)\nprint('done')") + " " * 9)
    (root / "chapters" / "a.md").write_text(cells("print('quick')") + " " * 999)  # the longest file goes first
    process = start(root)
    for line in process.stdout:
        if "chapters/b" in line and "starts" in line:
            break
    deadline = time.monotonic() + 30
    while not kernels(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while kernels(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert kernels(root) == []
    assert out_of_date(root) == {"chapters/b": "it is new"}  # a's result was kept


def test_a_second_build_waits_for_the_first(root):
    code = (
        "import pages, pathlib, sys\n"
        f"with pages.only_one(pathlib.Path({str(root)!r})):\n"
        "    print('in', flush=True)\n    sys.stdin.readline()\n    print('out', flush=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(pages.ROOT / "tools")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    first = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert first.stdout.readline() == "in\n"
    second = subprocess.Popen([sys.executable, "-c", code], **pipes)
    said = second.stdout.readline()
    assert f"process {first.pid}" in said and "waiting" in said
    assert first.communicate("now\n", timeout=30)[0] == "out\n"
    assert second.communicate("now\n", timeout=30)[0] == "in\nout\n"


def test_jobs(monkeypatch):
    monkeypatch.setenv("AIGC_JOBS", "3")
    assert parallel.jobs() == 3
    monkeypatch.setenv("AIGC_JOBS", "many")
    with pytest.raises(SystemExit, match="AIGC_JOBS='many'"):
        parallel.jobs()
    monkeypatch.delenv("AIGC_JOBS")
    monkeypatch.setenv("AIGC_DEVICE", "cuda")
    assert parallel.jobs() == 1  # a GPU is not shared
    monkeypatch.setenv("AIGC_DEVICE", "cpu")
    monkeypatch.setattr(parallel, "MEMORY", 1e18)
    assert parallel.jobs() == 1  # little memory: one at a time


def test_a_failed_command_is_reported_and_its_environment_is_its_own():
    show = "import os, sys; print(os.environ.get('OMP_NUM_THREADS')); sys.exit(int(sys.argv[1]))"
    words = [sys.executable, "-c", show]
    done = {
        d.name: d
        for d in parallel.run_all({"good": ([*words, "0"], parallel.ONE_THREAD), "bad": ([*words, "3"], {})}, 2)
    }
    assert done["good"].status == 0 and done["good"].output == "1\n" and done["bad"].status == 3


MACHINE = {"cpu": "a processor", "cpu_capability": "AVX512", "date": "today", "commit": "a1"}


def test_stress_counts_failed_claims_and_leaves_out_what_has_not_changed(root, tmp_path, capsys):
    seed = "import os\nif os.environ['AIGC_SEED'] == '3':\n    print('✗ it always holds')\n"
    threads = "print(os.environ['OMP_NUM_THREADS'], os.environ.get('ATEN_CPU_CAPABILITY'))"
    (root / "chapters" / "a.md").write_text(cells(seed + threads, "from aigc_lib import high"))
    record_file = tmp_path / "stress.json"
    record = stress.stress(root, record_file, ["a"], 4, MACHINE)
    runs = record["a"]["runs"]
    assert [run["seed"] for run in runs] == [1, 2, 3, 4]
    assert [run["failed"] for run in runs] == [[], [], ["line 17: ✗ it always holds"], []]
    assert "4 runs" in stress.summary(record) and "line 17: 1 of 4 runs" in stress.summary(record)
    assert all(0 < run["processor_seconds"] <= 2 * run["seconds"] for run in runs)
    capsys.readouterr()
    stress.stress(root, record_file, ["a"], 4, MACHINE)
    assert "starts" not in capsys.readouterr().out  # nothing changed
    (root / "aigc_lib" / "__init__.py").write_text(
        '"""N."""\n\nfrom aigc_lib.other import value\n\n__all__ = ["value"]\n'
    )
    stress.stress(root, record_file, ["a"], 4, MACHINE)
    assert "starts" not in capsys.readouterr().out  # one name more, which a does not use
    stress.stress(root, record_file, ["a"], 5, MACHINE)
    assert capsys.readouterr().out.count("starts") == 1  # one run more
    (root / "aigc_lib" / "low.py").write_text("value = 10\n")
    record = stress.stress(root, record_file, ["a"], 1, MACHINE)
    assert [run["seed"] for run in record["a"]["runs"]] == [1]  # from the beginning
    assert set(stress.stress(root, record_file, ["a"], 1, MACHINE | {"cpu": "another"})) == {"a"}
    assert set(json.loads(record_file.read_text())) == {"a processor", "another"}  # side by side
    (root / "aigc_lib" / "low.py").write_text("value = 11\n")
    stress.stress(root, record_file, ["b"], 1, MACHINE | {"commit": "b2"})
    found = json.loads(record_file.read_text())["a processor"]["chapters"]
    assert {name: entry["commit"] for name, entry in found.items()} == {"a": "a1", "b": "b2"}  # a was found at a1
    (root / "chapters" / "a.md").unlink()
    stress.stress(root, record_file, ["b"], 2, MACHINE)
    assert set(json.loads(record_file.read_text())["a processor"]["chapters"]) == {"b"}


def test_stress_plans_all_conditions_in_equal_parts():
    planned = [stress.plan(seed, True) for seed in range(1, 9)]
    conditions = [(p["threads"], p["instructions"]) for p in planned]
    assert all(conditions.count(c) == 2 for c in [(1, "all"), (1, "AVX2"), (2, "all"), (2, "AVX2")])
    assert {stress.plan(seed, False)["instructions"] for seed in range(1, 9)} == {"all"}
    limited = stress.settings(stress.plan(4, True))
    assert (
        limited["OMP_NUM_THREADS"] == "2" and limited["ATEN_CPU_CAPABILITY"] == "avx2" and limited["AIGC_SEED"] == "4"
    )


def test_a_false_claim_is_what_the_search_for_problems_finds(capsys):
    show.claim(False, "one is two")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("f()")])
    nb.cells[0].outputs = [nbformat.v4.new_output("stream", text=capsys.readouterr().out)]
    (problem,) = pages.problems_of(nb, "p", "f()")
    assert problem.message == "✗ one is two" and not problem.failed


def test_problems_are_found_where_they_stand():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("✗ in words is no problem")])
    nb.cells.append(nbformat.v4.new_code_cell("f()"))
    nb.cells[-1].outputs = [
        nbformat.v4.new_output("stream", text="✓ fine\n✗ not fine\n"),
        nbformat.v4.new_output("execute_result", data={"text/plain": "✗ Not yet. A hint."}),
    ]
    assert [p.message for p in pages.problems_of(nb, "p", "words\nf()\n")] == ["✗ not fine"]
