"""Numbers that a bench wrote on some machine, at some commit.

They are recorded, not measured now. Records of several kinds of processor stand side
by side: what is fast on one need not be fast on another.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
LABELS = {
    "published": "plain baseline (our rebuild)",
    "ours": "our recipe",
    "real": "10,000 training images in place of samples",
}


def recorded(name: str) -> dict[str, dict]:
    """The records of bench `name` by kind of processor: "AMX", "AVX-512", "AVX2".

    A record holds commit, machine, seeds, and each contender's numbers: of each the
    mean and the deviation. ("stress" is by the processor's name.)
    """
    path = FOLDER / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise ValueError(f"no record {name!r}; recorded: {known}")
    return json.loads(path.read_text())


def origin(kind: str, record: dict) -> str:
    """Two lines on where a record comes from: its processor, its day, its budget."""
    threads = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
    facts = [record["date"], f"commit {record['commit']}"]
    if "seconds" in record:
        facts.append(f"{record['seconds']:.0f} s of training each")
    if "seeds" in record:
        facts.append(f"{len(record['seeds'])} seeds")
    machine = f"{record['cpu']}, {threads}, precision {record['precision']}"
    return f"{kind}: {machine}\n    {', '.join(facts)}"


def race_rows(record: dict, keys: list[str]) -> list[list[object]]:
    """Table rows of a race: a name, then mean ± deviation for each key that it has.

    They are ordered from the plain baseline to our recipe; real images come last.
    """
    first, last = "published", ("ours", "real")
    names = [first, *(n for n in record["contenders"] if n not in (first, *last))]
    rows = []
    for name in [n for n in (*names, *last) if n in record["contenders"]]:
        found = record["contenders"][name]
        entries = [_entry(found["mean"], found["sd"], key) for key in keys]
        rows.append([LABELS.get(name, name), *entries])
    return rows


def _entry(mean: dict, sd: dict, key: str) -> str:
    digits = 0 if key == "steps" else 2
    if key not in mean:
        return ""
    return f"{mean[key]:.{digits}f} ± {sd[key]:.{digits}f}"
