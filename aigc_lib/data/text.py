"""The texts: ten plays by Shakespeare, Tang quatrains, and the reader's own text."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aigc_lib.data.files import load_text

MOST_BYTES = 2**30


@dataclass(frozen=True)
class Poem:
    """A quatrain: four lines of 5 or of 7 Chinese characters, without punctuation."""

    lines: tuple[str, str, str, str]
    title: str
    author: str

    def __str__(self) -> str:
        """The lines with the punctuation that a quatrain has."""
        a, b, c, d = self.lines
        return f"{a}，{b}。\n{c}，{d}。"


def shakespeare() -> str:
    """Ten plays as dialogue: a name in capitals and a colon, the speech, an empty line.

    The plays stand in the order in which they were probably written. The last tenth of
    the text is the end of Macbeth and The Tempest.
    """
    return load_text("shakespeare")


def tang() -> list[Poem]:
    """The Tang quatrains, in simplified characters, ordered by author."""
    rows = [row.split("\t") for row in load_text("tang").splitlines()]
    return [
        Poem(tuple(re.findall(r"\w+", text)), title, author)
        for author, title, text in rows
    ]


@cache
def rhyme_classes() -> dict[str, str]:
    """The rhyme class of each character of the quatrains, by its modern sound.

    The classes are the fourteen of 中华新韵 (2005): what follows the initial and the
    medial of a syllable, without its tone. Of several readings the first that the
    package pypinyin lists counts.
    """
    rows = [row.split("\t") for row in load_text("rhymes").splitlines()]
    return {character: name for name, characters in rows for character in characters}


def own_text(file: str | Path, at_least: int = 1) -> str:
    """Read the reader's own text file, in UTF-8, of `at_least` characters.

    Line ends become "\\n" and a byte order mark is left out. Raises ValueError, which
    says what was found and what was expected, for a file that is missing, too large,
    not UTF-8 (with the place of the first wrong byte), empty or too short.
    """
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"text {path}: no such file; expected a text file in UTF-8")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"text {path}: {path.stat().st_size:,} bytes; "
            f"expected at most {MOST_BYTES:,}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"text {path}: not readable ({error.strerror})") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"text {path}: byte {content[error.start]:#04x} at position {error.start} "
            f"is no UTF-8 ({error.reason}); expected a text file in UTF-8"
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"text {path}: empty; expected some text")
    if len(text) < at_least:
        raise ValueError(
            f"text {path}: {len(text):,} characters; expected at least {at_least:,}"
        )
    return text
