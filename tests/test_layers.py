"""The import graph of aigc_lib is the picture in its docstring: top uses bottom, never back."""

import ast
from pathlib import Path

import pytest

import aigc_lib

ROOT = Path(aigc_lib.__file__).parent
LAYERS = [  # from the top; modules of one line do not import each other
    ["show"],
    ["exercises"],
    ["recipes"],
    ["fit", "sample", "evaluate"],
    ["models"],
    ["losses"],
    ["nn"],
    ["data"],
    ["runtime"],
]
RANK = {name: -row for row, names in enumerate(LAYERS) for name in names}
ONLY_IN_SHOW = {"matplotlib", "ipywidgets", "IPython"}
DECLARED = {
    "accelerate",
    "einops",
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
            if rest[0] not in RANK or RANK[rest[0]] >= RANK[package]:
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


def test_the_test_sees_violations():
    assert violations("losses", "from aigc_lib.models import VAE") == ["aigc_lib.models.VAE"]
    assert violations("fit", "def f():\n    from aigc_lib import evaluate") == ["aigc_lib.evaluate"]
    assert violations("data", "import matplotlib.pyplot as plt") == ["matplotlib.pyplot"]
    assert violations("models", "from aigc_lib import losses\nimport torch") == []


def test_only_declared_packages_are_imported():
    found = {name.split(".")[0] for path in ROOT.rglob("*.py") for name in imports(path.read_text())}
    import sys

    assert found - set(sys.stdlib_module_names) - {"aigc_lib"} <= DECLARED


def test_nothing_is_unpickled():
    for path in FILES:
        text = path.read_text()
        text = text.replace("safetensors.torch.load(", "")
        assert "torch.load(" not in text and "import pickle" not in text and "allow_pickle=True" not in text
