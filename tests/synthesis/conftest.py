from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from fedloom.models.load import tokenizer_here
from fedloom.recipe import ModelRecipe
from fedloom.synthesis.generator import Generator, Prompt, Reply, generators
from fedloom.synthesis.picture_generator import PictureGenerator


@pytest.fixture(scope="session")
def tiny_tokenizer():
    return tokenizer_here(ModelRecipe(id="tiny-llama"))


@generators.register("paints")
@dataclass(frozen=True)
class Paints(PictureGenerator):
    """Bars at the height of the class, with noise; a guided one mixes them into its guide. `fault` spoils every third picture."""

    batch_size: int = 4
    words: bool = False
    fault: str = ""

    @property
    def at_once(self):
        return self.batch_size

    @property
    def reads_prompts(self):
        return self.words

    def identity(self):
        return {"kind": "paints", "fault": self.fault}

    def made(self, wishes, size, strength, lent):
        lent["painted"] = lent.get("painted", 0) + len(wishes)
        for place, wish in enumerate(wishes):
            picture = np.random.default_rng(wish.seed).random(size).astype(np.float32)
            row = (ord(wish.label[0]) if wish.label else 0) % size[0]
            picture[row] = 1.0
            if wish.guide is not None:
                picture = strength * picture + (1 - strength) * wish.guide.pixels.astype(np.float32) / 255
            if self.fault and place % 3 == 0:
                picture = FAULTS[self.fault](picture)
            yield picture


FAULTS = {
    "not_finite": lambda picture: picture * np.nan,
    "flat": lambda picture: np.full_like(picture, 0.5),
    "size": lambda picture: picture[:-1],
    "lists": lambda picture: picture.tolist(),
}


@generators.register("says")
@dataclass(frozen=True)
class Says(Generator):
    """What the fixture `says` is given, word for word; what it was asked is kept."""

    asked: ClassVar[list[Prompt]] = []
    reply: ClassVar[Any] = None
    name: str = ""

    def identity(self):
        return {"kind": "says", "name": self.name}

    def replies(self, prompts, stop, known, lent):
        for place, prompt in enumerate(prompts):
            if place not in known:
                Says.asked.append(prompt)
                yield place, Reply(Says.reply(prompt, place), 4, 8, ended=True)


@pytest.fixture
def says(monkeypatch, tmp_path):
    """Makes the generator `says` reply with what a function of the prompt and its number gives; gives the list of what it was asked."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "says"))

    def start(reply):
        monkeypatch.setattr(Says, "reply", staticmethod(reply))
        monkeypatch.setattr(Says, "asked", [])
        return Says.asked

    return start
