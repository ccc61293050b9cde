"""The shipped texts are what their pages say, and the reader's own text is read or refused with a clear line."""

import re
from collections import Counter

import pytest
from builders import rhymes as rhymes_builder
from builders import tang as tang_builder

from aigc_lib import data, evaluate


def test_shakespeare_is_a_megabyte_of_dialogue():
    text = data.shakespeare()
    assert 1_100_000 < len(text) < 1_200_000 and text.isascii() and text.endswith("\n")
    speeches = text.rstrip("\n").split("\n\n")
    assert len(speeches) > 8_000 and all(re.match(r"[A-Z][A-Z ,'-]+:\n\S", speech) for speech in speeches)
    assert text.startswith("GLOSTER:\nNow is the winter of our discontent\n")
    assert "We are such stuff\nAs dreams are made on" in text[int(0.9 * len(text)) :]
    for word in ("Gutenberg", "Exeunt", "SCENE", "[", "]", "<", "{", "\t", "\r", "  ", "Copyright"):
        assert word not in text


def test_tang_holds_perfect_quatrains_each_once():
    poems = data.tang()
    assert Counter(len(poem.lines[0]) for poem in poems) == {5: 3553, 7: 9895}
    for poem in poems:
        assert len(poem.lines) == 4 and len({len(line) for line in poem.lines}) == 1
        assert all("\u4e00" <= c <= "\u9fff" for line in poem.lines for c in line)
        assert poem.title and poem.author
    assert len({poem.lines for poem in poems}) == len(poems)
    by_title = {(poem.author, poem.title): poem for poem in poems}
    dawn = by_title["孟浩然", "春晓"]
    assert str(dawn) == "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。"


def test_tang_is_in_simplified_characters():
    found = Counter(c for poem in data.tang() for line in poem.lines for c in line)
    assert not set("風雲來東長無為時開門劒鴈疎") & set(found) and set("风云来东长无时开门剑雁疏") <= set(found)
    assert found["乾"] > 10  # 乾坤 is no 干坤: phrases come before characters


def poem(text, author="甲", title="题"):
    return {"author": author, "title": title, "paragraphs": [text]}


def test_the_builder_drops_what_it_says_and_nothing_else():
    one, two = "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。", "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"
    version = one.replace("知", "有")
    other = "春眠不覺曉，黃河入海流。遠近高低處，此中無一人。"  # shares a line with each, and is another poem
    lost = "白日依山□，黃河入海流。欲窮千里目，更上一層樓。"
    long = one + two
    kept, why = tang_builder.clean([poem(text) for text in (one, two, one, version, other, lost, long)], str)
    assert ["，".join(row[2]) for row in kept] == [t.replace("。", "，").strip("，") for t in (one, two, other)]
    assert sorted(why.values()) == [1, 1, 1, 1] and why["the same text again"] == 1


def test_conversion_takes_phrases_before_characters(tmp_path):
    (tmp_path / "TSCharacters.txt").write_text("乾\t干 乾\n風\t风\n鸂\t㶉\n", "utf-8")
    (tmp_path / "TSPhrases.txt").write_text("乾坤\t乾坤\n", "utf-8")
    assert tang_builder.converter(tmp_path)("乾坤風乾鸂鴈") == "乾坤风干鸂雁"


FINALS = {
    "xuě": "üe",
    "yè": "ie",
    "yú": "ü",
    "wū": "u",
    "nǚ": "ü",
    "lǜ": "ü",
    "liú": "iu",
    "zhī": "-i",
    "rì": "-i",
    "xī": "i",
    "ér": "er",
    "àn": "an",
    "yuán": "üan",
    "wēng": "eng",
    "xiōng": "iong",
    "shuāng": "uang",
    "hē": "e",
    "wǒ": "o",
}


def test_finals_of_syllables_with_their_tricks_of_spelling():
    assert {reading: rhymes_builder.final_of(reading) for reading in FINALS} == FINALS
    assert rhymes_builder.final_of("ńg") is None and rhymes_builder.final_of("") is None
    assert set(FINALS.values()) <= set(rhymes_builder.CLASS) and len(rhymes_builder.CLASSES) == 14


def test_every_character_of_the_quatrains_has_one_rhyme_class():
    classes = data.rhyme_classes()
    found = {c for poem in data.tang() for line in poem.lines for c in line}
    assert set(classes) <= found and len(found - set(classes)) <= 5
    assert set(classes.values()) == set(rhymes_builder.CLASSES)
    assert [classes[c] for c in "花波雪开微高楼山春霜东飞诗湖"] == list("麻波皆开微豪尤寒文唐庚微支姑")


POEMS = {
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。": True,
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。": True,
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。": True,
    "床前明月光，疑是地上霜。举头望明月，低头思故人。": False,
    "床前明月光，疑是地上霜。举头望明月，低头思故霜。": False,  # one character twice
}


@pytest.mark.parametrize("poem, wanted", POEMS.items())
def test_rhymes_of_famous_quatrains(poem, wanted):
    assert evaluate.rhymes(poem) is wanted
    assert evaluate.rhymes(poem.replace("，", " ").replace("。", "\n")) is wanted


def test_most_quatrains_rhyme_in_modern_sound_and_exchanged_lines_do_not():
    poems = data.tang()
    whole = [evaluate.rhymes(str(poem)) for poem in poems]
    mixed = [evaluate.rhymes("，".join((*a.lines[:3], b.lines[3]))) for a, b in zip(poems, poems[500:], strict=False)]
    assert sum(whole) / len(whole) > 0.6 and sum(mixed) / len(mixed) < 0.2


@pytest.mark.parametrize("poem, message", [("春眠", "1 lines: expected 4"), ("一，二，三，x", "'x': not in the table")])
def test_rhymes_names_what_is_no_quatrain(poem, message):
    with pytest.raises(ValueError, match=message):
        evaluate.rhymes(poem)


def test_own_text(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes("\ufeffone\r\ntwo\rthree 春\n".encode())
    assert data.own_text(path) == "one\ntwo\nthree 春\n"
    assert data.own_text(str(path), at_least=16) == data.own_text(path)


BAD = {
    "empty": (b"", "empty"),
    "blank": (b" \n\t\r\n", "empty"),
    "binary": (b"ab\x00\xffcd", "byte 0xff at position 3 is no UTF-8"),
    "cut": ("春".encode()[:2], "byte 0xe6 at position 0 is no UTF-8"),
    "UTF-16": ("text".encode("utf-16"), "position 0 is no UTF-8"),
    "short": (b"abc", "3 characters; expected at least 10"),
}


@pytest.mark.parametrize("content, message", BAD.values(), ids=BAD)
def test_own_text_is_refused_with_its_name_and_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"text {re.escape(str(path))}: .*{message}"):
        data.own_text(path, at_least=10)


def test_own_text_that_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing.txt"):
        with pytest.raises(ValueError, match="no such file"):
            data.own_text(path)


def test_a_damaged_text_is_named(tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  shakespeare.txt\n")
    (tmp_path / "shakespeare.txt").write_text("To be")
    with pytest.raises(data.DataFileError, match="shakespeare.txt is damaged.*build_data.py shakespeare"):
        data.load_text("shakespeare", tmp_path)
