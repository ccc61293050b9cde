"""The terms of book/glossary.md: links to them from where a chapter first uses them, and from them to their sections.

A term that is an everyday word as well carries a qualifier in parentheses, such as "code (of an autoencoder)":
it is linked where it is bold, that is defined, and nowhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

TEXT_DIRECTIVES = {"admonition", "note", "tip", "warning", "important", "seealso"}
FENCE = re.compile(r"^(`{3,}|:{3,})(?:\{([\w-]+)\})?")
# Code, roles, formulas, links and HTML are left as they are; bold text is looked at by itself.
KEEP = re.compile(
    r"(\*\*[^*]+\*\*|\{[\w:]+\}`[^`]*`|`[^`]*`|\$\$.*?\$\$(?: \([\w:-]+\))?|\$[^$]+\$|!?\[[^\]]*\]\([^)]*\)|<[^>\n]+>)",
    re.S,
)


@dataclass(frozen=True)
class Entry:
    """One concept: its names as the glossary has them, and the line that explains it."""

    names: tuple[str, ...]
    meaning: str

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The names without their qualifiers."""
        return tuple(re.sub(r" \(.*\)$", "", name) for name in self.names)

    def is_called(self, text: str) -> bool:
        """Whether a text is one of the names, or its plural."""
        return " ".join(text.split()).lower().removesuffix("s") in (n.lower().removesuffix("s") for n in self.plain)


def entries(page: Path) -> list[Entry]:
    """All entries of a page with {glossary} directives: unindented names, then an indented meaning."""
    found, names = [], []
    for block in re.findall(r"^```\{glossary\}\n(.*?)^```$", page.read_text(), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("  "):
                found.append(Entry(tuple(names), line.strip()))
                names = []
            elif line.strip() and not line.startswith(":"):
                names.append(line.strip())
    return found


class Linker:
    """Puts {term} roles into the Markdown of one chapter, once for each concept; call it piece by piece, in order."""

    def __init__(self, known: list[Entry]):
        self.left = list(known)
        unqualified = [name for e in known for name, plain in zip(e.names, e.plain, strict=True) if name == plain]
        self.names = {name.lower().removesuffix("s"): name for name in unqualified}
        words = (r"\s+".join(map(re.escape, name.split())) for name in sorted(self.names, key=len, reverse=True))
        self.pattern = re.compile(rf"(?<![\w<-])(?:{'|'.join(words) or '(?!)'})s?(?![\w>-])", re.I)

    def __call__(self, text: str) -> str:
        return "\n".join(self.linked(piece) if prose else piece for prose, piece in pieces(text))

    def linked(self, text: str) -> str:
        """A run of prose with the first uses of the terms that are left made into roles."""
        out = []
        for part in KEEP.split(text):
            if bold := re.fullmatch(r"\*\*([^*]+)\*\*", part):
                part = f"**{self.bold(bold[1])}**"
            elif not KEEP.fullmatch(part):
                part = self.first_uses(part)
            out.append(part)
        return "".join(out)

    def bold(self, text: str) -> str:
        """What stands in bold, as a role if it is a term."""
        called = [entry for entry in self.left if entry.is_called(text)]
        return self.role(called[0], called[0].names[0], text) if called else text

    def first_uses(self, text: str) -> str:
        """Plain text with roles. The longest name counts: within "random generator" there is no "generator"."""

        def replaced(use: re.Match) -> str:
            name = self.names[" ".join(use[0].split()).lower().removesuffix("s")]
            entry = next((entry for entry in self.left if name in entry.names), None)
            return self.role(entry, name, use[0]) if entry else use[0]

        return self.pattern.sub(replaced, text)

    def role(self, entry: Entry, name: str, shown: str) -> str:
        """The role that links `shown` to a name of the entry, which is thereby done."""
        self.left.remove(entry)
        return f"{{term}}`{' '.join(shown.split())} <{name}>`"


def defined(known: list[Entry], text: str) -> dict[Entry, str]:
    """The entries whose name stands in bold in a chapter, each with the heading line of its section."""
    found, heading = {}, ""
    for prose, piece in pieces(text):
        if re.match("##+ ", piece):
            heading = piece
        for bold in re.findall(r"\*\*([^*]+)\*\*", piece) if prose else []:
            for entry in known:
                if entry.is_called(bold):
                    found.setdefault(entry, heading)
    return found


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """(is it prose?, lines): headings, options, code, folded text and other directives are not."""
    lines, prose, open_fences = text.split("\n"), [], []
    position = 0
    if lines[0] == "---":  # the front matter
        position = lines.index("---", 1) + 1
        yield False, "\n".join(lines[:position])
    while position < len(lines):
        line, end = lines[position], position + 1
        fence = FENCE.match(line)
        if not fence and line.strip() and not re.match(r"#|:[\w-]+:|\([\w:-]+\)=|\+\+\+|\s*\|?[-|: ]+\|?$", line):
            prose.append(line)
            position = end
            continue
        if fence and fence[1] == line.strip() and open_fences[-1:] == [fence[1]]:
            open_fences.pop()
        elif fence and fence[2] in TEXT_DIRECTIVES and not _folded(lines[end:]):
            open_fences.append(fence[1])
        elif fence:  # to be left alone up to its end
            closes = [i for i in range(end, len(lines)) if lines[i].strip() == fence[1]]
            end = closes[0] + 1 if closes else len(lines)
        if prose:
            yield True, "\n".join(prose)
            prose = []
        yield False, "\n".join(lines[position:end])
        position = end
    if prose:
        yield True, "\n".join(prose)


def _folded(body: list[str]) -> bool:
    """Whether a directive's options, which begin its body, fold it."""
    for line in body:
        if not line.startswith(":"):
            return False
        if "dropdown" in line:
            return True
    return False
