"""Names and paths in a recipe that only show their fault later unless they are checked at once."""

from pathlib import Path

import pytest

from fedloom.errors import RecipeError
from fedloom.plugins import trusting_plugins
from fedloom.resolve import load_recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"loggers": ["tensorbord"]}, "loggers: unknown logger 'tensorbord'; did you mean 'tensorboard'?"),
        ({"federation.codec": "fp33"}, "federation.codec: unknown codec 'fp33'; did you mean 'fp32'?"),
        ({"federation.engine": "rey"}, "federation.engine: input should be 'local' or 'ray', got 'rey'"),
    ],
)
def test_an_unknown_name_is_refused_with_its_key_before_anything_runs(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("tiny", overrides)
    assert str(error.value) == said


def test_plugins_on_the_command_line_are_found_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typed_plugin.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert load_recipe("tiny", {"plugins": ["typed_plugin.py"]}).plugins == [str(tmp_path / "typed_plugin.py")]


def test_plugins_in_a_recipe_are_found_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "written_plugin.py").write_text("")
    (tmp_path / "mine.yaml").write_text("name: mine\nplugins: [written_plugin.py]\n")
    monkeypatch.chdir("/")
    with trusting_plugins():
        assert load_recipe(tmp_path / "mine.yaml").plugins == [str(tmp_path / "written_plugin.py")]


def test_a_local_path_is_remembered_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    (tmp_path / "tiny-llama").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("tiny", {"data.source": "rows.jsonl"})
    assert recipe.data.source == str(tmp_path / "rows.jsonl")
    assert recipe.model.id == "tiny-llama"
