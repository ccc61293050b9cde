"""Rhyme classes of the characters of the Tang quatrains, by their modern sound: an approximation of the old one."""

import json
import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

from builders import expect_digest

PACKAGES = ["pypinyin==0.55.0"]
DIGEST = "5f294c01e6c6c0a1c8e329c79335a3f8e0b27d06bf1de7a99244b765892d1e5b"
# The fourteen classes of 中华新韵 (2005): finals that agree after the medial.
CLASSES = {
    "麻": "a ia ua",
    "波": "o e uo",
    "皆": "ie üe",
    "开": "ai uai",
    "微": "ei ui",
    "豪": "ao iao",
    "尤": "ou iu",
    "寒": "an ian uan üan",
    "文": "en in un ün",
    "唐": "ang iang uang",
    "庚": "eng ing ong iong",
    "齐": "i er ü",
    "支": "-i",
    "姑": "u",
}
CLASS = {final: name for name, finals in CLASSES.items() for final in finals.split()}
TONES = "\u0300\u0301\u0304\u030c"  # grave, acute, macron, caron
SYLLABLE = re.compile("(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw]?)([aeiouü].*)")


def final_of(reading: str) -> str | None:
    """The final of a syllable in pinyin with its tone mark (xuě: üe); None for a sound without a vowel."""
    letters = unicodedata.normalize("NFD", reading)
    plain = unicodedata.normalize("NFC", "".join(letter for letter in letters if letter not in TONES))
    match = SYLLABLE.fullmatch(plain)
    if not match:
        return None
    initial, final = match.groups()
    if initial in ("j", "q", "x", "y") and final[0] == "u":  # written without its dots
        return "ü" + final[1:]
    if initial == "y" and final == "e":
        return "ie"
    if final == "i" and initial in ("zh", "ch", "sh", "r", "z", "c", "s"):
        return "-i"
    return final


def build(pinyin: Path, out: Path) -> Path:
    """rhymes.txt, a class a line: its name, tab, its characters. Reads tang.txt, which must be there."""
    table = pinyin / "pypinyin" / "pinyin_dict.json"
    expect_digest([table], DIGEST, "readings")
    readings = json.loads(table.read_text("utf-8"))
    poems = out / "tang.txt"
    if not poems.exists():
        sys.exit(f"{poems}: expected the quatrains; build tang first")
    lines = [row.split("\t")[2] for row in poems.read_text("utf-8").splitlines()]
    members, without = defaultdict(list), []
    for character in sorted(set("".join(lines)) - set("，。")):
        first = readings.get(str(ord(character)), "").split(",")[0]
        name = CLASS.get(final_of(first) or "")
        (members[name] if name else without).append(character)
    print(f"  {sum(map(len, members.values()))} characters; without a class: {' '.join(without) or 'none'}")
    rows = [f"{name}\t{''.join(members[name])}\n" for name in CLASSES]
    (out / "rhymes.txt").write_text("".join(rows), "utf-8", newline="\n")
    return out / "rhymes.txt"
