"""What reaches the page: pictures with alternatives, players, source code, demonstrated bugs."""

import base64
import io
import math
import re
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from aigc_lib import losses, show
from aigc_lib.show.images import tile, to_uint8


def picture(html):
    return np.array(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([\w+/=]+)", html)[1]))))


def test_pixels_survive_the_way_to_the_page():
    x = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    assert np.array_equal(picture(show.grid(x, alt="a ramp").data), np.arange(256).reshape(16, 16))
    color = torch.tensor([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert picture(show.grid(color, alt="orange").data)[0, 0].tolist() == [255, 0, 128]


def test_tiles_stand_in_reading_order():
    x = torch.full((3, 1, 2, 2), -1.0)
    x[1] = 1.0
    sheet = tile(x, ncols=2, pad=0)
    assert sheet.shape == (4, 4) and (sheet[:2, 2:] == 255).all() and (sheet[:2, :2] == 0).all()
    assert (sheet[2:, 2:] == 128).all()  # no third tile in the second row: grey


@pytest.mark.parametrize("shape", [(28, 28), (0, 1, 28, 28), (2, 4, 28, 28)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        to_uint8(torch.zeros(shape))


def test_whole_numbers_and_empty_alt_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        to_uint8(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="alt is empty"):
        show.grid(torch.zeros(1, 1, 2, 2), alt=" ")
    with pytest.raises(ValueError, match="ncols=0"):
        show.grid(torch.zeros(1, 1, 2, 2), alt="dark", ncols=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_not_drawn(value):
    images = torch.zeros(3, 1, 2, 2)
    images[1, 0, 1, 1] = value
    with pytest.raises(ValueError, match="1 of 3 images contain nan or inf"):
        show.grid(images, alt="dark")


def test_figure_is_svg_in_the_colour_of_the_page_and_is_closed():
    fig, ax = plt.subplots()
    ax.plot([1, 2], label="line")
    ax.set(xlabel="steps", title="title")
    html = show.figure(fig, alt='falls & says "stop"').data
    assert html.startswith("<svg ") and 'role="img"' in html
    assert 'aria-label="falls &amp; says &quot;stop&quot;"' in html
    assert "currentColor" in html and "steps" in html
    assert not plt.get_fignums()
    assert "width:100%" in html and not re.search(r'<svg[^>]* width="', html)


def test_points_carry_their_label_and_do_not_rest_on_colour():
    points = torch.tensor([[0.0, 0.0], [0.2, 0.0], [4.0, 1.0]])
    fig, ax = show.labelled(points, torch.tensor([7, 7, 2]))
    assert {text.get_text(): text.get_position() for text in ax.texts} == {"2": (4.0, 1.0), "7": (0.0, 0.0)}
    assert [len(dots.get_offsets()) for dots in ax.collections] == [1, 2]
    plt.close(fig)
    for labels, wrong in [(torch.zeros(2), points), (torch.zeros(3), points.T)]:
        with pytest.raises(ValueError, match=r"expected \(N, 2\) and \(N,\)"):
            show.labelled(wrong, labels)


def test_player_has_every_frame_and_label():
    frames = torch.linspace(-1, 1, 6).reshape(2, 3, 1, 1, 1).expand(2, 3, 1, 4, 4)
    html = show.player(frames, {"row": ["a", "b"], "col": [1, 2, "x|y"]}, alt="six greys").data
    assert np.array_equal(picture(html)[::4, ::4].ravel(), to_uint8(frames.reshape(6, 1, 4, 4))[:, 0, 0, 0])
    assert 'data-labels="a|b"' in html and 'data-labels="1|2|x/y"' in html
    assert html.count('type="range"') == 2 and "six greys" in html
    assert "http" not in html  # self-contained


PAGE = """
const element = kind => ({
  kind, dataset: {labels: 'a|b'}, style: {}, events: {}, max: '1', value: '0', attributes: {}, children: [],
  nextElementSibling: {},
  addEventListener(name, act) { this.events[name] = act; },
  setAttribute(name, value) { this.attributes[name] = value; },
});
const screen = element('screen'), sliders = [element('first'), element('second')], button = element('button');
const root = {dataset: {}, querySelector: q => q === 'button' ? button : screen, querySelectorAll: () => sliders};
const document = {querySelectorAll: q => q.startsWith('.player-') ? [root] : []};
"""
PRESSED = """
const press = key => screen.events.keydown({key, preventDefault() {}});
const before = screen.style.backgroundPosition;
press('ArrowRight');
console.log(before, '/', screen.style.backgroundPosition, '/', sliders[1].nextElementSibling.textContent);
"""


def script():
    frames = torch.zeros(2, 2, 1, 4, 4)
    html = show.player(frames, {"row": ["a", "b"], "col": ["a", "b"]}, alt="black").data
    return re.search("<script>(.*)</script>", html, re.S)[1]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_players_script_is_a_program_that_moves_the_picture(tmp_path):
    file = tmp_path / "player.js"
    file.write_text(PAGE + script() + PRESSED)
    subprocess.run(["node", "--check", file], check=True)
    done = subprocess.run(["node", file], capture_output=True, text=True)
    assert done.stdout == "0% 0% / 100% 0% / b\n", done.stderr


TURNED = """
screen.children = [0, 1, 2, 3].map(() => ({style: {}}));
screen.events.keydown({key: 'ArrowDown', preventDefault() {}});
console.log(screen.children.map(frame => frame.style.visibility).join(' '));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_players_script_shows_one_frame_of_text(tmp_path):
    file = tmp_path / "player.js"
    file.write_text(PAGE + script() + TURNED)
    done = subprocess.run(["node", file], capture_output=True, text=True)
    assert done.stdout == "hidden hidden visible hidden\n", done.stderr


def test_text_player_has_every_frame_and_shows_the_first():
    frames = [show.tokens({"row": [word]}) for word in ("one", "two", "three", "four")]
    html = show.text_player(frames, {"row": ["a", "b"], "col": [1, 2]}, alt="four words").data
    assert re.findall("visibility:([a-z]+)", html)[:4] == ["visible", "hidden", "hidden", "hidden"]
    assert all(f"<b>{word}</b>" in html for word in ("one", "two", "three", "four")) and "http" not in html
    with pytest.raises(ValueError, match=r"4 frames.*\(3,\)"):
        show.text_player(frames, {"step": [1, 2, 3]}, alt="x")


def test_tokens_can_be_seen():
    html = show.tokens({"a<b": [" the", b"\xe6\x98", "春", "<i>", "\n"], "": ["x"]}).data
    boxes = re.findall("<b>(.*?)</b>", html)
    assert boxes == ["\u00b7the", "e6 98", "春", "&lt;i&gt;", "\u21b5", "x"] and "a&lt;b (5): " in html


def test_heatmaps_stand_side_by_side_with_names_labels_and_crosses():
    tables = {"one": torch.eye(3), "two": torch.full((3, 3), 1 / 3)}
    crossed = {"one": torch.zeros(3, 3, dtype=torch.bool), "two": torch.eye(3) > 0}
    html = show.heatmaps(tables, rows="asks", columns="reads", labels="abc", crossed=crossed, alt="two maps").data
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    assert texts.count("×") == 3 and texts.count("reads") == 2 and texts.count("asks") == 1
    assert {"one", "two"} <= set(texts) and texts.count("b") == 3 and 'aria-label="two maps"' in html
    assert html.count("<image ") == 2
    for bad in (torch.zeros(2), torch.full((2, 2), 2.0), torch.tensor([[math.nan]])):
        with pytest.raises(ValueError, match="table 'bad' has shape"):
            show.heatmaps({"bad": bad}, rows="", columns="", alt="x")


def test_players_script_closes_what_it_opens():
    code = re.sub(r"//.*|'[^'\n]*'", "", script())
    open_ones, closes = [], {")": "(", "]": "[", "}": "{"}
    for character in code:
        if character in "([{":
            open_ones.append(character)
        elif character in closes:
            assert open_ones.pop() == closes[character]
    assert open_ones == [] and "</" not in code and code.count("`") % 2 == 0


def test_player_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(4, 1, 2, 2\).*\(3,\)"):
        show.player(torch.zeros(4, 1, 2, 2), {"t": [1, 2, 3]}, alt="x")
    with pytest.raises(ValueError, match="sliders"):
        show.player(torch.zeros(1, 1, 1, 1, 2, 2), {"a": [1], "b": [1], "c": [1]}, alt="x")


def test_explore_has_a_live_face_and_a_static_one():
    calls = []

    def fn(a):
        calls.append(a)
        return torch.full((1, 2, 2), a)

    explorer = show.explore(fn, a=[-1.0, 0.0, 1.0], alt="grey")
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle and "aigc-player" in bundle["text/html"]
    picture_widget, slider = explorer.live.children
    before = picture_widget.value
    slider.value = 0.5  # the live face reaches values that the static one has not
    assert calls[-1] == 0.5 and picture_widget.value != before
    with pytest.raises(ValueError, match="900 frames"):
        show.explore(lambda a, b: fn(a), alt="x", a=range(30), b=range(30))


def test_explore_offers_words_as_a_list():
    def fn(colour, size):
        return torch.full((1, 2, 2), {"dark": -1.0, "bright": 1.0}[colour] * size)

    explorer = show.explore(fn, colour=["dark", "bright"], size=[0.5, 1.0], alt="grey")
    assert 'data-labels="dark|bright"' in explorer.page and 'data-labels="0.5|1"' in explorer.page
    picture_widget, words, _ = explorer.live.children
    before = picture_widget.value
    assert words.options == ("dark", "bright") and words.value == "dark"
    words.value = "bright"
    assert picture_widget.value != before


def test_show_source_is_the_source():
    text = show.show_source(losses.gaussian_kl).data
    assert text.startswith("`aigc_lib.losses.vae`") and "def gaussian_kl(mu: Tensor" in text
    with pytest.raises(ValueError, match="Python source"):
        show.show_source(len)


def test_table_refuses_ragged_rows():
    assert '<td style="text-align:right">1.23</td>' in show.table(["a", "b"], [[1.234, "x"]]).data
    with pytest.raises(ValueError, match="2 cells: expected 1"):
        show.table(["a"], [[1, 2]])


def test_a_claim_is_said_with_a_mark_and_stops_nobody(capsys):
    show.claim(torch.tensor(2.0) > 1, "two is more than one")
    show.claim(np.float64(1) > 2, "one is more\n   than two")
    show.claim(math.nan < 1, "a number that is none is small")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "✓ two is more than one" and said[1] == "✗ one is more than two"
    assert "processor" in said[2] and said[3].startswith("✗ a number")


def test_a_false_claim_raises_where_tests_ask_for_it(monkeypatch):
    monkeypatch.setenv("AIGC_STRICT", "1")
    show.claim(True, "two is more than one")
    with pytest.raises(AssertionError, match="✗ one is more than two"):
        show.claim(False, "one is more than two")


@pytest.mark.parametrize("condition", [torch.tensor([True, False]), np.array([True, True]), None, "yes", [True]])
def test_a_claim_wants_one_truth_value_and_a_sentence(condition):
    with pytest.raises(ValueError, match="condition="):
        show.claim(condition, "something")
    with pytest.raises(ValueError, match="sentence="):
        show.claim(True, " ")


def test_a_bug_that_does_not_show_fails_the_cell(capsys):
    with show.expect_error(ZeroDivisionError, match="by zero"):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="nothing was raised"):
        with show.expect_error(ZeroDivisionError, match="by zero"):
            pass
    with pytest.raises(AssertionError, match="expected a ZeroDivisionError matching 'other'"):
        with show.expect_error(ZeroDivisionError, match="other"):
            1 / 0  # noqa: B018
    with pytest.raises(KeyError), show.expect_error(ZeroDivisionError, match=""):
        {}["another error passes through"]
