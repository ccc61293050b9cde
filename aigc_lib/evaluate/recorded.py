"""Numbers that a bench wrote on some machine, at some commit.

They are recorded, not measured now.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


def recorded(name: str) -> dict:
    """The record of bench `name`: commit, machine, seeds, and each contender's numbers.

    Of each number it holds the mean and the deviation.
    """
    path = FOLDER / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise ValueError(f"no record {name!r}; recorded: {known}")
    return json.loads(path.read_text())
