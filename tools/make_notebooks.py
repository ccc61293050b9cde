"""Write notebooks/NAME.ipynb from chapters/NAME.md, so that it reads well in Colab, GitHub and Jupyter.

    python tools/make_notebooks.py            write all
    python tools/make_notebooks.py --check    change nothing; fail if one is out of date

MyST directives and roles become plain Markdown and HTML: admonitions are quotes, exercises are headings, a
solution is one folded cell, citations and cross references are links. A directive or role without a rule
here is an error, so that no raw MyST ever reaches a reader.
"""

import argparse
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml
from glossary import Linker, entries
from pybtex.database import BibliographyData, parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).resolve().parent.parent
ADMONITIONS = {"admonition", "note", "tip", "warning", "important", "seealso"}
OPEN = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\} *(?P<title>.*)$")
OPTION = re.compile(r"^:(?P<key>[\w-]+):\s*(?P<value>.*)$")
LABEL = re.compile(r"^\([\w:-]+\)=\s*$")
EQUATION_LABEL = re.compile(r"\$\$ \((?P<label>[\w:-]+)\)\s*$")
ROLE = re.compile(r"(?<!`)\{(?P<name>[\w:]+)\}`(?P<text>[^`]+)`")
LINK = re.compile(r"\]\((?P<target>[^)\s:#]+\.md)(?P<anchor>#[^)]*)?\)")
SOLUTION, END = "\0solution", "\0end"  # markers on lines of their own between two gated directives


class Converter:
    """Turns the Markdown of one chapter into Markdown without MyST."""

    def __init__(self, source: Path, url: str, branch: str, references: BibliographyData):
        self.source, self.root = source, source.parent.parent
        self.files, self.references = f"{url}/blob/{branch}", references

    def markdown(self, text: str) -> str:
        """Convert directives, roles, labels and links of one piece of Markdown."""
        lines, out = text.split("\n"), []
        while lines:
            line = lines.pop(0)
            if opened := OPEN.match(line):
                close = next((i for i, x in enumerate(lines) if x.strip() == opened["fence"]), None)
                if close is None:
                    raise ValueError(f"{self.source.name}: {line!r} is never closed")
                out.append(self.directive(opened["name"], opened["title"].strip(), lines[:close]))
                del lines[: close + 1]
            elif code := re.match(r"^(`{3,})", line):  # an ordinary code block: copied as it is
                out.append(line)
                while lines and not out[-1].strip() == code[1] or out[-1] is line:
                    out.append(lines.pop(0))
            elif not LABEL.match(line):
                out.append(self.inline(line))
        return "\n".join(out)

    def directive(self, name: str, title: str, body: list[str]) -> str:
        """Convert one directive with its title and body lines."""
        options = {}
        while body and (option := OPTION.match(body[0])):
            options[option["key"]] = option["value"].strip("\"'")
            body = body[1:]
        if name in ADMONITIONS:
            content = self.markdown("\n".join(body).strip("\n"))
            return admonition(self.inline(title or name.title()), content, "dropdown" in options.get("class", ""))
        if name == "exercise-start":
            return f"### Exercise: {self.inline(title)}\n\n" + self.markdown("\n".join(body).strip("\n"))
        if name == "solution-start":
            return SOLUTION
        if name == "solution-end":
            return END
        if name == "exercise-end":
            return ""
        if name in ("figure", "image"):
            path = (self.source.parent / title).resolve().relative_to(self.root.resolve())
            return f"![{options.get('alt', '')}]({self.files.replace('/blob/', '/raw/')}/{path.as_posix()})"
        if name == "literalinclude":
            return self.include(title, options)
        raise ValueError(f"{self.source.name}: no rule for the directive {{{name}}}")

    def include(self, target: str, options: dict[str, str]) -> str:
        """The lines of another file between two markers, as a code block."""
        lines = (self.source.parent / target).read_text().split("\n")
        first = next(i for i, x in enumerate(lines) if options["start-after"] in x) + 1
        last = next(i for i, x in enumerate(lines) if options["end-before"] in x)
        indent = int(options.get("dedent", 0))
        code = "\n".join(line[indent:] for line in lines[first:last])
        return f"```{options.get('language', '')}\n{code}\n```"

    def inline(self, line: str) -> str:
        """Convert the roles, links and equation labels of one line."""
        line = EQUATION_LABEL.sub(lambda m: rf"\tag{{{m['label']}}} $$", line)
        line = LINK.sub(lambda m: f"]({self.link(m['target'])}{m['anchor'] or ''})", line)
        return ROLE.sub(self.role, line)

    def role(self, match: re.Match) -> str:
        """Convert one role."""
        name, text = match["name"], match["text"]
        if name in ("cite:t", "cite:p", "cite"):
            cited = "; ".join(self.citation(key.strip(), name == "cite:t") for key in text.split(","))
            return cited if name == "cite:t" else f"({cited})"
        if name == "eq":
            return f"({text})"
        if name in ("ref", "doc", "term"):
            shown, target = re.match(r"(.*?)\s*(?:<(.*)>)?$", text).groups()
            if name == "term":
                return f"[{shown}]({self.files}/book/glossary.md)"
            return f"[{shown}]({self.link(target + '.md')})" if name == "doc" and target else f"*{shown}*"
        raise ValueError(f"{self.source.name}: no rule for the role {{{name}}}")

    def citation(self, key: str, textual: bool) -> str:
        """Authors and year, linked to the paper."""
        if key not in self.references.entries:
            raise ValueError(f"{self.source.name}: no reference {key!r} in references.bib")
        entry = self.references.entries[key]
        names = [str(Text.from_latex(" ".join(person.last_names))) for person in entry.persons["author"]]
        who = " & ".join(names) if len(names) < 3 else f"{names[0]} et al."
        shown = f"{who} ({entry.fields['year']})" if textual else f"{who}, {entry.fields['year']}"
        return f"[{shown}]({entry.fields['url']})"

    def link(self, target: str) -> str:
        """The address on GitHub of another page: the notebook of a chapter, else the source file."""
        path = (self.source.parent / target).resolve().relative_to(self.root.resolve())
        if path.parts[0] == "chapters":
            path = Path("notebooks", path.stem + ".ipynb")
        return f"{self.files}/{path.as_posix()}"


def admonition(title: str, content: str, folded: bool) -> str:
    """A quote with a bold title, or a folded block."""
    if folded:
        return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *content.split("\n")])


def install_cell(url: str, branch: str) -> nbformat.NotebookNode:
    """The first cell: installs aigc-lib where it is missing, does nothing where it is there."""
    cell = nbformat.v4.new_code_cell(
        'from importlib.util import find_spec; _ = find_spec("aigc_lib") or '
        f'get_ipython().run_line_magic("pip", "install -q git+{url}@{branch}")'
    )
    return cell


def notebook(source: Path, repository: dict, references: BibliographyData) -> nbformat.NotebookNode:
    """The whole notebook of one chapter."""
    url, branch = repository["url"], repository["branch"]
    convert = Converter(source, url, branch, references).markdown
    linked = Linker(entries(source.parent.parent / "book" / "glossary.md"))
    cells, solution = [install_cell(url, branch)], None
    for cell in jupytext.read(source).cells:
        if cell.cell_type == "code":
            if solution is not None:
                solution.append(f"```python\n{cell.source}\n```")
            else:
                tags = [t for t in cell.metadata.get("tags", []) if t.startswith("nbval")]
                cells.append(nbformat.v4.new_code_cell(cell.source, metadata={"tags": tags} if tags else {}))
            continue
        solution = add_markdown(convert(linked(cell.source)), cells, solution)
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:03d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def add_markdown(text: str, cells: list, solution: list | None) -> list | None:
    """Append converted Markdown, gathering what lies between the solution markers into one cell."""
    for part in re.split(f"({SOLUTION}|{END})", text):
        if part == SOLUTION:
            solution = ["<details><summary>Solution</summary>"]
        elif part == END:
            cells.append(nbformat.v4.new_markdown_cell("\n\n".join([*solution, "</details>"])))
            solution = None
        elif part.strip():
            if solution is not None:
                solution.append(part.strip())
            else:
                cells.append(nbformat.v4.new_markdown_cell(re.sub(r"\n{3,}", "\n\n", part.strip())))
    return solution


def build(root: Path = ROOT) -> dict[Path, str]:
    """{notebook path: its text} for every chapter."""
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    references = parse_file(root / "book" / "references.bib")
    return {
        root / "notebooks" / f"{source.stem}.ipynb": nbformat.writes(notebook(source, repository, references)) + "\n"
        for source in sorted((root / "chapters").glob("*.md"))
    }


def stale(root: Path = ROOT) -> list[str]:
    """The names of notebooks that differ from their chapter, are missing, or have no chapter."""
    wanted = build(root)
    found = {path: path.read_text() for path in (root / "notebooks").glob("*.ipynb")}
    return sorted(path.name for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write notebooks/ from chapters/.")
    parser.add_argument("--check", action="store_true", help="fail if a notebook is out of date")
    if parser.parse_args().check:
        if names := stale():
            sys.exit(f"out of date: {', '.join(names)}; run `make notebooks` (notebooks are never edited by hand)")
        return
    for path, text in build().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
