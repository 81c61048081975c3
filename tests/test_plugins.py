"""A plugin that a recipe or a run folder names runs when the user has said so, and as the file that was read."""

import os
import py_compile
import shutil
import stat

import pytest
from typer.testing import CliRunner

import fedloom
from fedloom.cli.app import app
from fedloom.errors import RecipeError
from fedloom.plugins import load_plugin, trusting_plugins
from fedloom.resolve import load_recipe

MARKS = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def given(folder, content=MARKS):
    """A folder of someone else: a recipe with a plugin beside it."""
    folder.mkdir()
    (folder / "theirs.py").write_text(content)
    (folder / "recipe.yaml").write_text("plugins: [theirs.py]\nmodel: {id: tiny-llama}\ndata: {source: tiny-demo}\n")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["run", "RECIPE"],
        ["validate", "RECIPE"],
        ["data", "inspect", "RECIPE"],
        ["recipes", "show", "RECIPE", "--full"],
        ["sweep", "RECIPE", "seed=1,2", "--out", "OUT"],
        ["safety", "matrix", "RECIPE", "--out", "OUT"],
        ["resume", "FOLDER"],
        ["chat", "FOLDER"],
        ["export", "FOLDER", "OUT"],
        ["repair", "FOLDER", "--level", "3"],
    ],
    ids=" ".join,
)
def test_no_command_runs_the_plugin_of_a_folder_that_is_not_trusted(tmp_path, words):
    folder = given(tmp_path / "theirs")
    names = {"RECIPE": str(folder / "recipe.yaml"), "FOLDER": str(folder), "OUT": str(tmp_path / "out")}
    done = CliRunner().invoke(app, [names.get(word, word) for word in words])
    assert isinstance(done.exception, RecipeError), done.output
    assert "theirs.py: is a program that this recipe would run; read it, then add --trust-plugins" in str(done.exception)
    assert not (folder / "ran").exists()


def test_a_trusted_plugin_is_known_by_its_place_and_content_until_one_changes(tmp_path):
    folder = given(tmp_path / "theirs")
    done = CliRunner().invoke(app, ["validate", str(folder / "recipe.yaml"), "--trust-plugins"])
    assert done.exit_code == 0, done.output
    assert (folder / "ran").exists()
    load_recipe(folder / "recipe.yaml")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)  # what it imports from beside it may be something else there
    with pytest.raises(RecipeError, match="add --trust-plugins"):
        load_recipe(copy / "recipe.yaml")
    (folder / "theirs.py").write_text(MARKS + "# changed\n")
    with pytest.raises(RecipeError, match="add --trust-plugins"):
        load_recipe(folder / "recipe.yaml")


def test_what_the_user_types_or_writes_in_python_is_trusted_and_a_run_of_it_goes_on(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    settings = {"rounds": 1, "evaluate.baselines": [], "evaluate.samples": 0, "task.steps": 1}
    run = fedloom.run("tiny", tmp_path / "run", plugins=["mine.py"], **settings)
    assert load_recipe(run.folder / "recipe.yaml").plugins == [str(tmp_path / "mine.py")]


def test_a_compiled_file_beside_a_plugin_is_not_run(tmp_path):
    folder = given(tmp_path / "theirs", "x = 1\n")
    (folder / "evil.py").write_text("x = 2; import pathlib; pathlib.Path(__file__).with_name('ran').touch()")
    cached = py_compile.compile(str(folder / "evil.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    os.replace(cached, cached.replace("evil", "theirs"))
    with trusting_plugins():
        load_plugin("theirs.py", folder, trusted=False)
    assert not (folder / "ran").exists()


def test_the_folders_of_runs_are_the_users_alone(tmp_path):
    settings = {"rounds": 1, "evaluate.baselines": [], "evaluate.samples": 0, "task.steps": 1}
    run = fedloom.run("tiny", tmp_path / "runs" / "one", **settings)
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700
