"""Numbers that a bench wrote on some machine, at some commit.

They are recorded, not measured now.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
LABELS = {
    "published": "plain baseline (our rebuild)",
    "ours": "our recipe",
    "real": "10,000 training images in place of samples",
}


def recorded(name: str) -> dict:
    """The record of bench `name`: commit, machine, seeds, and each contender's numbers.

    Of each number it holds the mean and the deviation.
    """
    path = FOLDER / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise ValueError(f"no record {name!r}; recorded: {known}")
    return json.loads(path.read_text())


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
