"""Records of several kinds of processor stand beside one another."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from bench import run

from aigc_lib import evaluate
from aigc_lib.evaluate.recorded import FOLDER

XEON = ["amx_bf16", "amx_tile", "avx2", "avx512_bf16", "avx512f"]
EPYC = ["avx2", "avx512_bf16", "avx512f"]


def record(kind, rows, **other):
    facts = {"kind": kind, "commit": "a1", "date": "today", "cpu": "a processor", "seconds": 25.0, "seeds": [0, 1]}
    return facts | {"contenders": {row: {"mean": {"fdd": value}} for row, value in rows.items()}} | other


@pytest.fixture
def kept(tmp_path):
    """What is on file after records were saved one after the other."""

    def save(*records):
        for each in records:
            run.save("race", each, tmp_path)
        return json.loads((tmp_path / "race.json").read_text())

    return save


def rows(found, kind):
    return {row: entry["mean"]["fdd"] for row, entry in found[kind]["contenders"].items()}


@pytest.mark.parametrize(
    "features, capability, limit, kind",
    [
        (XEON, "AVX512", "", "AMX"),
        (XEON, "AVX512", "avx512_core_amx", "AMX"),
        (XEON, "AVX512", "AVX512_CORE_BF16", "AVX-512"),
        (EPYC, "AVX512", "", "AVX-512"),
        (XEON, "AVX2", "AVX2", "AVX2"),
        (XEON, "AVX2", "", "AVX2"),
        (XEON, "AVX512", "AVX2", "AVX2"),
        (["avx2"], "AVX2", "", "AVX2"),
        ([], "DEFAULT", "", "DEFAULT"),
    ],
)
def test_kinds_of_processor(features, capability, limit, kind):
    assert run.kind_of(features, capability, limit) == kind


def test_the_environment_that_leaves_avx2_only_is_that_kind():
    call = "from bench import run; print(run.provenance()['kind'])"
    environment = os.environ | run.AVX2 | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "AVX2" or torch.backends.cpu.get_cpu_capability() not in ("AVX512", "AVX2")


def test_a_kind_leaves_the_other_kinds_as_they_are(kept):
    found = kept(record("AMX", {"ours": 1}), record("AVX2", {"ours": 2}), record("AVX-512", {"ours": 3}))
    assert list(found) == ["AMX", "AVX-512", "AVX2"] and "kind" not in found["AMX"]
    found = kept(record("AVX2", {"ours": 4}))
    assert [rows(found, kind)["ours"] for kind in found] == [1, 3, 4]


def test_rows_grow_within_one_commit_machine_and_budget(kept):
    first = record("AMX", {"published": 9, "ours": 1})
    found = kept(first, record("AMX", {"ours": 2, "real": 3}, date="tomorrow"))
    assert rows(found, "AMX") == {"published": 9, "ours": 2, "real": 3} and found["AMX"]["date"] == "tomorrow"


@pytest.mark.parametrize("other", [{"commit": "b2"}, {"seconds": 60.0}, {"seeds": [0]}, {"cpu": "another"}])
def test_another_run_takes_the_place_of_a_record_whole(kept, other):
    found = kept(record("AMX", {"published": 9, "ours": 1}), record("AMX", {"ours": 2}, **other))
    assert rows(found, "AMX") == {"ours": 2}


def test_rows_of_uncommitted_code_do_not_mix(kept):
    dirty = {"commit": "a1-dirty"}
    found = kept(record("AMX", {"published": 9}, **dirty), record("AMX", {"ours": 2}, **dirty))
    assert rows(found, "AMX") == {"ours": 2}


def test_a_written_record_does_not_make_the_commit_dirty(tmp_path, monkeypatch):
    def git(*args):
        subprocess.run(["git", "-C", str(tmp_path), *args], check=True, capture_output=True)

    results = tmp_path / "results"
    results.mkdir()
    (results / "vae.json").write_text("{}")
    (tmp_path / "code.py").write_text("1")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "RESULTS", results)
    assert run.commit() == ""  # no repository yet
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m")
    clean = run.commit()
    assert len(clean) == 12
    (results / "vae.json").write_text('{"AMX": {}}')
    assert run.commit() == clean
    (tmp_path / "code.py").write_text("2")
    assert run.commit() == f"{clean}-dirty"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_records_are_filed_under_their_kind(path):
    for kind, found in evaluate.recorded(path.stem).items():
        if path.stem == "stress":  # by the name of the processor
            continue
        widest = run.kind_of(found["features"], found["cpu_capability"])  # ONEDNN_MAX_CPU_ISA may have narrowed it
        assert kind == widest or (widest, kind) == ("AMX", "AVX-512")
        assert evaluate.origin(kind, found).startswith(f"{kind}: {found['cpu']}")
        assert found["commit"] in evaluate.origin(kind, found)


def test_the_origin_names_budget_and_seeds_where_there_are_any():
    facts = {"cpu": "a processor", "threads": 2, "precision": "bf16", "date": "today", "commit": "a1"}
    assert evaluate.origin("AMX", facts) == "AMX: a processor, 2 threads, precision bf16\n    today, commit a1"
    text = evaluate.origin("AVX2", facts | {"threads": 1, "seconds": 25.0, "seeds": [0, 1, 2]})
    assert "1 thread," in text and text.endswith("25 s of training each, 3 seeds")


def test_speed_has_no_column_that_is_not_what_it_says(monkeypatch):
    asked = []

    def child(*args, **environment):
        asked.append(environment)
        return {"a row": 1.0}

    monkeypatch.setattr(run, "child", child)
    assert list(run.speed("AVX2")["milliseconds"]) == ["AVX2 only, fp32", "AVX2 only, bf16"]
    assert all(environment["ATEN_CPU_CAPABILITY"] == "avx2" for environment in asked)
    assert len(run.speed("AMX")["milliseconds"]) == 4


def test_rows_about_adams_averages_change_nothing_else():
    sys.path.insert(0, str(run.HERE))
    try:
        from races import gan, vae
    finally:
        sys.path.remove(str(run.HERE))
    group = {"betas": (0.9, 0.99), "lr": 4e-3}
    optimizer = SimpleNamespace(param_groups=[group])
    vae.with_usual_beta2(SimpleNamespace(parts={"optimizer": optimizer}))
    assert group == {"betas": (0.9, 0.999), "lr": 4e-3}
    gan.with_betas(0.5, 0.99)(SimpleNamespace(parts={"for_g": optimizer, "for_d": optimizer}))
    assert group == {"betas": (0.5, 0.99), "lr": 4e-3}
