"""What the documentation says is held to the program: links, recipes, commands, snippets with their output, and the recipe reference."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest
import typer

import fedloom
from fedloom.cli.app import app
from fedloom.data.sources import load_records
from fedloom.overrides import parse_overrides
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe, preset_names

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def marked_blocks(page: str, mark: str, language: str) -> list[str]:
    """The fenced blocks of a page that stand below the comment <!-- mark -->."""
    return re.findall(rf"^<!-- {mark} -->\n```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_reference_is_up_to_date(make_reference: ModuleType) -> None:
    written = (ROOT / "docs" / "recipe.md").read_text()
    assert written == make_reference.reference(), "the schema has changed: run `python docs/make_reference.py`"


@pytest.mark.parametrize("page", NAMES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}, f"{page}: {target}"


@pytest.mark.parametrize("page", NAMES)
def test_every_recipe_in_the_documentation_is_valid(page: str, tmp_path: Path) -> None:
    for block in marked_blocks(page, "recipe", "yaml"):
        path = tmp_path / "recipe.yaml"
        path.write_text(block)
        load_recipe(path)


@pytest.mark.parametrize("page", NAMES)
def test_every_command_in_the_documentation_exists(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for line in re.findall(r"^(?: {4}|\$ (?:echo .* \| )?)(fedloom [a-z].*)$", (ROOT / page).read_text(), re.MULTILINE):
        words = shlex.split(line, comments=True)
        command: click.Command = typer.main.get_command(app)
        context = click.Context(command, info_name="fedloom")
        for word in words[1:]:
            if not isinstance(command, click.Group):
                break
            found = command.get_command(context, word)
            assert found, f"{page}: {line}"
            command, words = found, words[1:]
        given = command.make_context(words[0], words[1:]).params  # ends with an error for an option that there is not
        if given.get("recipe") in preset_names() and "federation.round=3" not in line:
            load_recipe(given["recipe"], parse_overrides(given.get("overrides") or []))


def test_the_python_snippets_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "library.md").read_text()
    snippets = re.findall(r"^<!-- python -->\n```python\n(.*?)^```\n\nprints\n\n((?: {4}[^\n]*\n)+)", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == page.count("<!-- python -->")
    for code, printed in snippets:
        exec(compile(code, "library.md", "exec"), {})
        assert capsys.readouterr().out == re.sub(r"^ {4}", "", printed, flags=re.MULTILINE)


def test_the_steps_and_the_logger_on_the_page_about_extending_work(tmp_path: Path) -> None:
    (tmp_path / "page_parts.py").write_text("\n".join(marked_blocks("docs/extending.md", "plugin", "python")))
    (recipe,) = marked_blocks("docs/extending.md", "recipe: plugin", "yaml")
    settings = "model: {id: tiny-llama}\ndata: {source: tiny-demo, partition: {kind: by_field, field: owner}}\nfederation: {rounds: 1}\n"
    (tmp_path / "recipe.yaml").write_text(f"plugins: [page_parts.py]\n{settings}{recipe}")
    with fedloom.trusting_plugins():
        run = fedloom.run(tmp_path / "recipe.yaml", tmp_path / "run", **{"task.steps": 2, "evaluate.samples": 0})
    examples = {event["value"] for event in _events(run.folder) if event["name"] == "train/examples"}
    assert examples == {round(0.8 * 34)}
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["data"]["kept"] == {"public": {"not_drawn": 4 * (34 - 27), "kept": 4 * 27}}
    assert [measure["name"] for measure in manifest["measures"]["finish"]] == ["norm"]
    assert [event["value"] for event in _events(run.folder) if event["name"] == "finish/shrink/norm"] == [
        pytest.approx(0.95 * run.state.norm())
    ]
    assert "held_out/federated/loss" in (run.folder / "metrics.txt").read_text()
    (tmp_path / "letters.txt").write_text("Dear all,\nhello.\n\nDear none.\n")
    letters = load_records(DataRecipe(source=f"letters:{tmp_path}/letters.txt"), 7)
    assert [(letter.text, letter.fields["client"]) for letter in letters.records] == [
        ("Dear all,\nhello.", "box-1"),
        ("Dear none.", "box-0"),
    ]
    assert (letters.kind, letters.origin) == ("document", f"{tmp_path}/letters.txt")


def test_the_readme_names_every_algorithm_and_nothing_that_is_not_there() -> None:
    own = {name for name in fedloom.algorithms.names() if fedloom.algorithms.get(name).__module__.startswith("fedloom.")}
    part = (ROOT / "README.md").read_text().partition("- Algorithms:")[2].partition("- Codecs")[0]
    assert set(re.findall(r"`(\w+)`", part)) == own


def _events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
