"""Which weights a writer has: what tells its replies from those of another model of the same name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedloom.errors import ModelError
from fedloom.files import content_sha256, local_path
from fedloom.models.catalogue import catalogue, fetch
from fedloom.models.load import require_model
from fedloom.recipe import ModelRecipe


@dataclass(frozen=True)
class Weights:
    """A model's name, without the folders that it lies in, and either the hash of its files or, of a model of the hub, the commit."""

    name: str
    sha256: str | None = None
    revision: str | None = None


def weights_of(model: str, revision: str | None) -> Weights:
    """The weights that `model` and `revision` stand for on this machine. Those of a model by name or of the hub are fetched if need be; a
    revision stays as it was given where the hub cannot be reached."""
    if model in {entry.id for entry in catalogue()}:
        return Weights(model, sha256=content_sha256(fetch(model) / "model.safetensors"))
    place = local_path(model)
    if place.exists():
        return Weights(place.absolute().name, sha256=content_sha256(place))
    return Weights(model, revision=_commit_here(model, revision) or _commit_fetched(model, revision) or revision)


def adapter_sha256(adapter: str | None) -> str | None:
    return content_sha256(local_path(adapter)) if adapter else None


def _commit_fetched(model: str, revision: str | None) -> str | None:
    with suppress(ModelError):
        require_model(ModelRecipe(id=model, revision=revision))
    return _commit_here(model, revision)


def _commit_here(model: str, revision: str | None) -> str | None:
    """The commit of a model in the hub's cache, which keeps its files in a folder of that name."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):  # of what is no hub id, such as the path of a folder that is not there
        found = try_to_load_from_cache(model, "config.json", revision=revision)
        return Path(found).parent.name if isinstance(found, str) else None
    return None
