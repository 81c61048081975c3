"""Training of a diffusion model: it learns, goes on to the same bytes, and learns from public pictures alone."""

import numpy as np
import pytest

from fedloom.data.rows import Row, SourceRows
from fedloom.data.sources import sources
from fedloom.errors import DataError, FedloomError, InterruptedRunError, RecipeError
from fedloom.recipe import DataRecipe
from fedloom.synthesis import generator_training
from fedloom.synthesis.generator_training import DiffusionTraining, train_generator, training_of

DIGITS = DataRecipe(source="digits", limit=300)
SHORT = DiffusionTraining(steps=8, batch_size=16, dtype="float32")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_loss_falls(tmp_path):
    losses = []
    found = train_generator(DIGITS, DiffusionTraining(steps=40, batch_size=32), tmp_path / "model", lambda step, loss: losses.append(loss))
    assert sum(losses[:5]) / 5 > 1.3 * sum(losses[-5:]) / 5
    assert found.labels == tuple("0123456789")
    assert found.size == (8, 8, 1)
    assert (found.trained_on["source"], found.trained_on["rows"]) == ("digits", 300)
    assert sorted(content(tmp_path / "model")) == ["config.json", "model.safetensors"]


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(generator_training, "KEEP_EVERY", 3)
    train_generator(DIGITS, SHORT, tmp_path / "unbroken")

    def killed(step, loss):
        if step == 5:
            raise SystemExit

    with pytest.raises(SystemExit):
        train_generator(DIGITS, SHORT, tmp_path / "killed", killed)
    steps = []
    train_generator(DIGITS, SHORT, tmp_path / "killed", lambda step, loss: steps.append(step))
    assert steps == [4, 5, 6, 7, 8]
    assert content(tmp_path / "killed") == content(tmp_path / "unbroken")


def test_after_ctrl_c_the_same_command_goes_on_from_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(generator_training, "KEEP_EVERY", 3)

    def stopped(step, loss):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="stopped; the same command goes on from step 3 of 8"):
        train_generator(DIGITS, SHORT, tmp_path / "model", stopped)
    steps = []
    train_generator(DIGITS, SHORT, tmp_path / "model", lambda step, loss: steps.append(step))
    assert steps == [4, 5, 6, 7, 8]


def test_what_has_ended_is_not_done_again_and_other_settings_want_another_folder(tmp_path):
    short, folder = DiffusionTraining(steps=1, batch_size=4), tmp_path / "model"
    train_generator(DIGITS, short, folder)
    train_generator(DIGITS, short, folder, lambda *_: pytest.fail("a step was taken"))
    with pytest.raises(RecipeError, match=r"was begun with steps 1, not 2; choose another folder"):
        train_generator(DIGITS, DiffusionTraining(steps=2, batch_size=4), folder)
    with pytest.raises(RecipeError, match=r"was begun with sha256|was begun with rows 300, not 200"):
        train_generator(DataRecipe(source="digits", limit=200), short, folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("text")
    with pytest.raises(RecipeError, match="exists already, and is no generator"):
        train_generator(DIGITS, short, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_private_pictures_are_refused_with_what_makes_them_public(tmp_path):
    private = DataRecipe(source="digits", provenance="private")
    with pytest.raises(DataError, match=r"digits is private.*data.provenance=public"):
        train_generator(private, SHORT, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(DataError, match="tiny-demo holds conversations, and a generator of pictures learns from pictures"):
        train_generator(DataRecipe(source="tiny-demo"), SHORT, tmp_path / "model")


def test_colours_of_any_size_are_learned(tmp_path):
    @sources.register("colours-of-a-test")
    def colours():
        drawn = np.random.default_rng(1).integers(0, 255, (6, 30, 17, 3), dtype=np.uint8)
        rows = [Row({"pixels": pixels, "label": "ab"[i % 2]}, f"row {i}") for i, pixels in enumerate(drawn)]
        return SourceRows(rows, "here", "public", reads="picture")

    found = train_generator(
        DataRecipe(source="colours-of-a-test", provenance="public"), DiffusionTraining(steps=1, batch_size=8), tmp_path / "m"
    )
    assert found.size == (30, 17, 3)


def test_a_loss_that_is_not_finite_ends_the_training_with_what_to_change(tmp_path):
    with pytest.raises(FedloomError, match=r"the loss is (nan|inf) at step \d+; lower learning_rate"):
        train_generator(DIGITS, DiffusionTraining(steps=20, batch_size=8, learning_rate=1e30), tmp_path / "model")


def test_settings_of_a_command_are_checked():
    data, training = training_of("digits", {"steps": 5, "data.limit": 9, "data.provenance": "public"})
    assert (data.source, data.limit, data.provenance, training.steps) == ("digits", 9, "public", 5)
    for settings, said in (
        ({"step": 5}, "training.step: unknown key; did you mean 'steps'"),
        ({"data.template": "chat"}, "data.template: unknown key"),
        ({"data.limit": 0}, "data.limit: input should be greater than or equal to 1"),
        ({"steps": 0}, "training.steps: input should be greater than or equal to 1"),
    ):
        with pytest.raises(RecipeError, match=said):
            training_of("digits", settings)


def test_every_row_comes_once_before_one_comes_again():
    drawn = [row for step in range(6) for row in generator_training._drawn(9, 3, step, seed=1)]
    assert sorted(drawn[:9]) == sorted(drawn[9:]) == list(range(9))
    assert drawn[:9] != drawn[9:]
