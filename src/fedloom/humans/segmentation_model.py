"""Segmentation models of transformers as parsers of dressed people, and as what tells a person from the background.

Their labels become classes of `PARSING` by their names: those of SegFormer trained on clothes (ATR), of SCHP (LIP, ATR) and of Sapiens are
known. A dress and what is carried count as upper, a hat as hair, glasses as skin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from fedloom.data.records import PARSING
from fedloom.errors import ModelError
from fedloom.files import local_path
from fedloom.models.quiet import quiet

WORDS = {
    "background": ("background",),
    "skin": (
        *("arm", "arms", "eye", "eyeglass", "face", "feet", "foot", "glasses", "hand", "hands", "leg", "legs", "lip", "neck", "skin"),
        *("sunglasses", "teeth", "tongue", "torso"),
    ),
    "hair": ("hair", "hat"),
    "shoes": ("boot", "boots", "shoe", "shoes", "sock", "socks"),
    "lower": ("belt", "lower", "pants", "shorts", "skirt", "trousers"),
    "upper": (
        *("apparel", "bag", "coat", "dress", "glove", "gloves", "jacket", "jumpsuit", "jumpsuits", "scarf", "shirt", "sweater", "top"),
        *("upper", "vest"),
    ),
}
"""The classes in the order in which a label's words are looked for in them: a lower arm is skin, and an upper lip too."""

PERSON = "person"


@dataclass(frozen=True, eq=False)
class SegmentationModel:
    """A model for semantic segmentation with its image processor. `labels` in the order of its outputs."""

    name: str
    labels: tuple[str, ...]
    model: Any = field(repr=False)
    processor: Any = field(repr=False)

    def parse(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Probabilities of `PARSING`, float32 (height, width, 6), of uint8 (height, width, 3) in which bool (height, width) is the person.

        Raises ModelError for a model with a label that is no part of a dressed person.
        """
        belongs = np.zeros((len(self.labels), len(PARSING)), dtype=np.float32)
        for output, label in enumerate(self.labels):
            belongs[output, PARSING.index(class_of(label, self.name))] = 1
        return agreeing(self._probabilities(rgb) @ belongs, mask)

    def person(self, rgb: np.ndarray) -> np.ndarray:
        """Where the person is, bool (height, width). Raises ModelError for a model without a label person or background."""
        probabilities, small = self._probabilities(rgb), [label.lower() for label in self.labels]
        if PERSON in small:
            return probabilities.argmax(axis=2) == small.index(PERSON)
        if "background" in small:
            return probabilities.argmax(axis=2) != small.index("background")
        raise ModelError(f"{self.name}: has neither a label person nor a label background; choose another model")

    @torch.no_grad()
    def _probabilities(self, rgb: np.ndarray) -> np.ndarray:
        """float32 (height, width, labels)."""
        inputs = self.processor(images=rgb, return_tensors="pt")
        logits = interpolate(self.model(**inputs).logits, rgb.shape[:2], mode="bilinear", align_corners=False)
        found: np.ndarray = logits[0].softmax(dim=0).permute(1, 2, 0).numpy()
        return found


def open_segmentation(name: str) -> SegmentationModel:
    """The model that a folder or an id of the hub names, on the CPU. Raises ModelError in one line; no program of a model is run."""
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    folder = local_path(name) if local_path(name).is_dir() else _from_hub(name)
    how = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(folder, **how)
            model = AutoModelForSemanticSegmentation.from_pretrained(folder, **how).float().eval()
    except Exception as error:  # noqa: BLE001 - of whatever kind, it is the model's files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
        raise ModelError(
            f"{name}: cannot be loaded as a model for semantic segmentation ({reason}); check that its files are complete"
        ) from None
    labels = [str(model.config.id2label[output]) for output in sorted(model.config.id2label)]
    return SegmentationModel(name, tuple(labels), model, processor)


def _from_hub(name: str) -> Path:
    """The folder of a model's files, which are fetched once (the hub's own cache, HF_HUB_OFFLINE and its tokens apply)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "model*.safetensors"], ignore_patterns="*/*"))
    except GatedRepoError:
        raise ModelError(f"{name}: the hub asks for permission; accept its terms on the model's page, then `hf auth login`") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{name}: the hub has no such model, and there is no such folder; check the name") from None
    except Exception as error:  # noqa: BLE001 - of whatever kind, the hub cannot be asked
        raise ModelError(
            f"{name}: is no folder, and the hub cannot be reached ({type(error).__name__}); name a folder, or find a network"
        ) from None


def class_of(label: str, model: str) -> str:
    """The class of `PARSING` that a label belongs to, by its words. Raises ModelError, which names `model`, when it belongs to none."""
    words = set(re.split(r"[^a-z]+", label.lower()))
    for name, known in WORDS.items():
        if words & set(known):
            return name
    raise ModelError(f"{model}: its label '{label}' is no part of a dressed person that is known; choose a model that parses clothes")


def agreeing(probabilities: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`probabilities` (height, width, 6) of which the background has all outside of `mask` and nothing inside."""
    found = np.zeros_like(probabilities)
    inside = probabilities[mask][:, 1:] + np.finfo(np.float32).tiny
    found[mask, 1:] = inside / inside.sum(axis=1, keepdims=True)
    found[~mask, 0] = 1
    return found
