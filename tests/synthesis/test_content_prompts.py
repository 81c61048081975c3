"""Prompts for content of a class: one for all, style by scene, or scenes that a language model has written."""

from collections import Counter

import numpy as np
import pytest

from fedloom.errors import RecipeError
from fedloom.synthesis.content_prompts import load_prompts, read_scenes

PHOTO = load_prompts("photo")


def stream():
    return np.random.default_rng(0)


def test_a_single_prompt_is_the_same_for_all():
    assert PHOTO.of_class("single", "dog", (), 3, stream()) == ["a photo of a dog"] * 3


def test_multiple_prompts_go_through_style_by_scene_each_as_often():
    styles, scenes = PHOTO.file.styles, PHOTO.file.scenes
    every = {f"a {style} of a dog, {scene}" for style in styles for scene in scenes}
    assert set(PHOTO.of_class("multiple", "dog", (), len(every), stream())) == every
    twice = Counter(PHOTO.of_class("multiple", "dog", (), 2 * len(every) + 1, stream()))
    assert sorted(Counter(twice.values()).items()) == [(2, len(every) - 1), (3, 1)]


def test_scenes_are_gone_through_and_without_one_the_single_prompt_stays():
    assert PHOTO.of_class("llm", "dog", ["on a beach", "in a box"], 3, stream()) == [
        "a photo of a dog, on a beach",
        "a photo of a dog, in a box",
        "a photo of a dog, on a beach",
    ]
    assert PHOTO.of_class("llm", "dog", [], 2, stream()) == ["a photo of a dog"] * 2


def test_a_label_with_braces_is_written_as_it_is():
    assert PHOTO.of_class("single", "{scene}", (), 1, stream()) == ["a photo of a {scene}"]


@pytest.mark.parametrize(
    ("text", "ended", "found"),
    [
        ("1. On a beach.\n2) In a box\n- in the rain\n• at night", True, ["On a beach", "In a box", "in the rain", "at night"]),
        ("Here are some:\n\n\"On a beach\"\nOn a beach", True, ["On a beach"]),
        ("on a beach\nin a bo", False, ["on a beach"]),
        (" ".join(["word"] * 21), True, []),
        ("", True, []),
    ],
)  # fmt: skip
def test_scenes_are_read_line_by_line(text, ended, found):
    assert read_scenes(text, ended) == found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('single: "a photo of a {class}"', 'single: "a photo"', r"single: .*should hold \{class\}"),
        ("{style} of a {class}", "photo of a {class}", r"multiple: .*should hold \{style\} and \{scene\}"),
        ("version: 1", "version: 0", "version: "),
        ("styles: [", "styles: [] # [", "styles: "),
    ],
)
def test_a_file_of_ones_own_is_checked_with_the_key_that_is_wrong(old, new, said, tmp_path):
    from fedloom.synthesis.content_prompts import PACKAGED

    text = (PACKAGED / "photo.yaml").read_text()
    assert old in text
    (tmp_path / "own.yaml").write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=rf"own\.yaml: {said}"):
        load_prompts(str(tmp_path / "own.yaml"))


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(RecipeError, match="prepare: fedgc: prompt: there is no packaged prompt and no file 'foto'; did you mean 'photo'"):
        load_prompts("foto")
