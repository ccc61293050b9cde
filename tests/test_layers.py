"""The import graph of aigc_lib is the picture in its docstring: top uses bottom, never back."""

import ast
import re
from pathlib import Path

import pytest

import aigc_lib

ROOT = Path(aigc_lib.__file__).parent
LAYERS = [  # from the top; modules of one line do not import each other
    ["show"],
    ["exercises"],
    ["recipes"],
    ["training"],
    ["fit", "sample", "evaluate", "adapt"],
    ["models"],
    ["diffusion", "losses"],
    ["nn"],
    ["data"],
    ["runtime"],
]
RANK = {name: -row for row, names in enumerate(LAYERS) for name in names}
RECEIVE_MODELS = {"fit", "sample", "evaluate", "adapt"}  # as arguments
NARROW = {  # what these may import, of all that stands below them
    "show": {"runtime"},  # it gets tensors
    "losses": set(),  # tensor to tensor
    "diffusion": set(),
    **{name: {"diffusion", "losses", "nn", "data", "runtime"} for name in RECEIVE_MODELS},
}
ONLY_IN_SHOW = {"matplotlib", "ipywidgets", "IPython"}
DECLARED = {
    "accelerate",
    "einops",
    "filelock",
    "IPython",
    "ipywidgets",
    "matplotlib",
    "numpy",
    "PIL",
    "safetensors",
    "torch",
    "tqdm",
}


def imports(source: str) -> set[str]:
    """Dotted names of everything a file imports, wherever in the file the import stands."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(package: str, source: str) -> list[str]:
    """What a file of layer `package` imports and should not."""
    bad = []
    for name in imports(source):
        top, *rest = name.split(".")
        if top == "aigc_lib" and rest and rest[0] != package:
            below = {layer for layer in RANK if RANK[layer] < RANK[package]}
            if rest[0] not in NARROW.get(package, below):
                bad.append(name)
        if top in ONLY_IN_SHOW and package != "show":
            bad.append(name)
    return sorted(bad)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_down_only(path):
    assert layer(path) in RANK, "name the layer of this module in LAYERS and in aigc_lib's docstring"
    assert violations(layer(path), path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize(
    "package, source, bad",
    [
        ("losses", "from aigc_lib.models.vae import VAE", "aigc_lib.models.vae.VAE"),
        ("losses", "from aigc_lib.data import mnist", "aigc_lib.data.mnist"),
        ("nn", "from aigc_lib import losses", "aigc_lib.losses"),
        ("data", "from aigc_lib.nn import attention", "aigc_lib.nn.attention"),
        ("models", "from aigc_lib import sample", "aigc_lib.sample"),
        ("fit", "def f():\n    from aigc_lib import evaluate", "aigc_lib.evaluate"),
        ("fit", "from aigc_lib.models import vae", "aigc_lib.models.vae"),
        ("evaluate", "from aigc_lib.models.classifier import X", "aigc_lib.models.classifier.X"),
        ("sample", "from aigc_lib.training import run", "aigc_lib.training.run"),
        ("training", "from aigc_lib import recipes", "aigc_lib.recipes"),
        ("recipes", "from aigc_lib import show", "aigc_lib.show"),
        ("show", "from aigc_lib import recipes", "aigc_lib.recipes"),
        ("show", "from aigc_lib.models import vae", "aigc_lib.models.vae"),
        ("exercises", "from aigc_lib import show", "aigc_lib.show"),
        ("data", "import matplotlib.pyplot as plt", "matplotlib.pyplot"),
        ("recipes", "import IPython", "IPython"),
    ],
)
def test_the_test_sees_violations(package, source, bad):
    assert violations(package, source) == [bad]


@pytest.mark.parametrize(
    "package, source",
    [
        ("models", "from aigc_lib import losses, nn\nimport torch"),
        ("training", "from aigc_lib import fit, evaluate, sample, losses, data, runtime"),
        ("recipes", "from aigc_lib.training import run\nfrom aigc_lib.models import vae"),
        ("evaluate", "from aigc_lib import data, losses"),
        ("show", "import matplotlib\nfrom aigc_lib import runtime"),
    ],
)
def test_the_test_lets_pass_what_the_picture_allows(package, source):
    assert violations(package, source) == []


def test_the_picture_stands_in_the_docstring():
    lines = [line for line in aigc_lib.__doc__.splitlines() if re.search(r"\w {3,}\w", line)]
    there = {layer(path) for path in FILES}
    expected = [[name for name in names if name in there] for names in LAYERS]
    assert [re.split(" {3,}", line)[0].split() for line in lines] == [names for names in expected if names]


def test_only_declared_packages_are_imported():
    found = {name.split(".")[0] for path in ROOT.rglob("*.py") for name in imports(path.read_text())}
    import sys

    assert found - set(sys.stdlib_module_names) - {"aigc_lib"} <= DECLARED


def test_nothing_is_unpickled():
    for path in FILES:
        text = path.read_text()
        text = text.replace("safetensors.torch.load(", "")
        assert "torch.load(" not in text and "import pickle" not in text and "allow_pickle=True" not in text
