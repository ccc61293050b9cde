"""Tang quatrains: the poems of four lines of 5 or 7 characters, in simplified characters, each once."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

from builders import expect_digest

PACKAGES = ["chinese-poetry@2.0.1", "opencc-python-reimplemented==0.1.7"]
DIGEST = "176341ed724db340ca94922f85456769af8f98b02b5aa9c9e75a032c01cc3a9d"
FILES = 58  # of 1,000 poems each
BASIC = re.compile("[\\u4e00-\\u9fff]+")  # the basic block of Chinese characters in Unicode
# Other ways to write a character, which the tables of OpenCC leave alone: each with its common form.
VARIANTS = """
疎疏 遶绕 鴈雁 劒剑 猨猿 簷檐 鬬斗 蘂蕊 堦阶 慙惭 櫂棹 徧遍 谿溪 嬾懒 秖只 秪只 棃梨 毬球
媿愧 斾旆 妬妒 桮杯 煖暖 暎映 鏁锁 顦憔 顇悴 呌叫 巵卮 幷并 竝并 髪发 廻回 鼇鳌 壻婿 牋笺
僊仙 飜翻 擡抬 鑪炉 栢柏 粧妆 鵶鸦 歛敛 燄焰 缾瓶 彊强 讐仇 麤粗 麄粗 帬裙 隣邻 嚬颦 趂趁
邨村 蔕蒂 隄堤 醆盏 臯皋 椀碗 盌碗 荅答 牓榜 罇樽 蹔暂 羇羁 覊羁 覩睹 悮误 怱匆 悤匆 檝楫
窓窗 牕窗 珪圭 鸎莺 碁棋 畧略 揜掩 穉稚 汚污 緜绵 蕚萼 逈迥 椶棕 塲场 勑敕 袴裤 廐厩 飡餐
犂犁 徴征 藂丛 碪砧 効效 臙胭 箒帚 虵蛇 髣仿 髴佛 濬浚 褭袅 寃冤
"""
COPY = 0.6  # two poems that share a line are one poem where so many of their characters agree


def converter(folder: Path):
    """A function from traditional to simplified characters, by the tables of OpenCC, longest match first."""
    table = {}
    for name in ("TSCharacters.txt", "TSPhrases.txt"):
        for line in (folder / name).read_text("utf-8").splitlines():
            traditional, _, simplified = line.partition("\t")
            if BASIC.fullmatch(simplified := simplified.split()[0]):  # not a rare one that few fonts have
                table[traditional] = simplified
    table |= dict(VARIANTS.split())  # of two characters each
    phrases = sorted(table, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, phrases)))
    return lambda text: pattern.sub(lambda match: table[match[0]], text)


def lines_of(poem: dict) -> list[str]:
    return [line for line in re.split("[，。！？；、：]", "".join(poem["paragraphs"])) if line]


def is_copy(a: list[str], b: list[str]) -> bool:
    """Whether two quatrains are versions of one poem."""
    if len(a[0]) != len(b[0]):
        return False
    pairs = list(zip("".join(a), "".join(b), strict=True))
    return sum(x == y for x, y in pairs) >= COPY * len(pairs)


def clean(poems: list[dict], simplify) -> tuple[list[tuple[str, str, list[str]]], Counter]:
    """(author, title, lines) of each quatrain, in the order of the collection; and why others were dropped."""
    kept, why, having = [], Counter(), defaultdict(list)
    for poem in poems:
        if [len(line) for line in lines_of(poem)] not in ([5] * 4, [7] * 4):
            why["not four lines of 5 or 7 characters"] += 1
            continue
        lines = [simplify(line) for line in lines_of(poem)]
        if not BASIC.fullmatch("".join(lines)):
            why["a character lost or outside the basic block of Unicode"] += 1
        elif any(lines == other for line in lines for other in having[line]):
            why["the same text again"] += 1
        elif any(is_copy(lines, other) for line in lines for other in having[line]):
            why["another version of a poem already there"] += 1
        else:
            kept.append((simplify(poem["author"]), simplify(poem["title"]), lines))
            for line in lines:
                having[line].append(lines)
    return kept, why


def build(poetry: Path, opencc: Path, out: Path) -> Path:
    """tang.txt, a poem a line: author, tab, title, tab, the four lines with their punctuation."""
    paths = [poetry / "dist" / "quantangshi" / f"poet.tang.{1000 * i}.json" for i in range(FILES)]
    tables = opencc / "opencc" / "dictionary"
    expect_digest([*paths, tables / "TSCharacters.txt", tables / "TSPhrases.txt"], DIGEST, "poems and tables")
    poems = [poem for path in paths for poem in json.loads(path.read_text("utf-8"))]
    kept, why = clean(poems, converter(tables))
    print(f"  {len(poems)} poems, {len(kept)} kept; dropped: {dict(why)}")
    rows = [f"{author}\t{title}\t{a}，{b}。{c}，{d}。\n" for author, title, (a, b, c, d) in kept]
    (out / "tang.txt").write_text("".join(rows), "utf-8", newline="\n")
    return out / "tang.txt"
