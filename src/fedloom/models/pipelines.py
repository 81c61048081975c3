"""Pipelines of diffusers that draw pictures from text, and from text and a picture: find one, fetch it, load it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fedloom.errors import MissingExtraError, ModelError
from fedloom.files import content_sha256, local_path
from fedloom.models.quiet import quiet
from fedloom.models.weights import Weights

INDEX = "model_index.json"
SIDE = 512
"""Pixels along a side, of a pipeline that does not say what it was trained at."""


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline on this machine, and which weights these are."""

    path: Path
    weights: Weights


@dataclass(frozen=True)
class Pipeline:
    """A pipeline in two forms over the same networks: `from_text`, and `from_picture`, which is null where diffusers knows none. `side`
    is what it draws at unless it is told otherwise, in pixels."""

    from_text: Any
    from_picture: Any | None
    side: int

    def drawn(self, prompts: Sequence[str], guides: Tensor | None, **settings: Any) -> Tensor:
        """A picture for each of `prompts`, (rows, 3, height, width) with values from 0 to 1, from noise or from `guides` of that form.

        `settings` are those of the pipeline's call. Raises ModelError for guides where it has no form that begins with a picture.
        """
        form, more = (self.from_text, {}) if guides is None else (self.from_picture, {"image": guides})
        if form is None:
            raise ModelError(f"{type(self.from_text).__name__}: has no form that begins with a picture; choose another, or guide by prompt")
        with silent(require_diffusers("a pipeline of diffusers")):
            found = form(prompt=list(prompts), output_type="np", **more, **settings).images
        return torch.as_tensor(np.asarray(found)).permute(0, 3, 1, 2).float()


def require_diffusers(purpose: str) -> Any:
    """The library. Raises MissingExtraError, which names `purpose`."""
    try:
        import diffusers
    except ImportError:
        raise MissingExtraError("diffusers", "diffusion", purpose) from None
    return diffusers


def find_pipeline(model: str, revision: str | None) -> PipelineFolder:
    """The pipeline that `model` names, a folder or an id of the hub; from there it is fetched when it is not here, and a line says so.

    Raises ModelError, in one line, when there is none.
    """
    place = local_path(model)
    if place.is_dir():
        if not (place / INDEX).is_file():
            raise ModelError(f"{place}: has no {INDEX}; name a folder that a pipeline of diffusers was saved in")
        return PipelineFolder(place, Weights(place.absolute().name, sha256=content_sha256(place)))
    if model.startswith((".", "/", "~")):
        raise ModelError(f"{place}: no such folder; name a folder with a pipeline of diffusers, or its id on the hub")
    folder = _on_hub(model, revision)
    return PipelineFolder(folder, Weights(model, revision=folder.name))  # the hub's cache calls a snapshot by its commit


def load_pipeline(folder: Path, dtype: str, device: torch.device, scheduler: Literal["lcm"] | None) -> Pipeline:
    """The pipeline in `folder`, whatever safety checker it has included. `scheduler` lcm: that of latent consistency models, for few steps.

    Raises ModelError, in one line, when it cannot be loaded. No program that lies in the folder is run.
    """
    diffusers = require_diffusers("a pipeline of diffusers")
    with silent(diffusers):
        try:
            from_text = diffusers.AutoPipelineForText2Image.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True)
            if scheduler == "lcm":
                from_text.scheduler = diffusers.LCMScheduler.from_config(from_text.scheduler.config)
            from_text = from_text.to(device)
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise ModelError(
                f"{folder}: cannot be loaded ({reason}); check that its files are complete and that it draws from text"
            ) from error
        try:
            from_picture = diffusers.AutoPipelineForImage2Image.from_pipe(from_text)
        except ValueError:
            from_picture = None
    for form in (from_text, from_picture):
        if form is not None:
            form.set_progress_bar_config(disable=True)
    return Pipeline(from_text, from_picture, _side(from_text))


@contextlib.contextmanager
def silent(diffusers: Any) -> Iterator[None]:
    """Keep bars and warnings of diffusers, and of transformers below it, out of our output: some repeat what a prompt says."""
    logging = diffusers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _on_hub(model: str, revision: str | None) -> Path:
    """Its folder in the hub's cache (HF_HUB_OFFLINE and the hub's tokens apply), with the files alone that it needs."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    diffusers = require_diffusers(f"the pipeline {model}")
    with silent(diffusers), contextlib.suppress(Exception):  # of whatever kind, it is not here
        return Path(diffusers.DiffusionPipeline.download(model, revision=revision, local_files_only=True))
    print(f"fetching the pipeline {model} from the hub, once", file=sys.stderr)
    try:
        return Path(diffusers.DiffusionPipeline.download(model, revision=revision))
    except GatedRepoError:
        raise ModelError(f"{model}: the hub asks for permission; accept its terms on the model's page, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise ModelError(f"{model}: the hub has no revision '{revision}'; write a commit, tag or branch in generator.revision") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{model}: the hub has no such pipeline; name another, or a folder that one was saved in") from None
    except Exception as error:
        raise ModelError(
            f"{model}: is not on this machine and cannot be fetched from the hub ({type(error).__name__}); name a folder that a pipeline"
            " was saved in, or use a network with access to the hub"
        ) from error


def _side(pipeline: Any) -> int:
    """The side of the pictures that a pipeline was trained on, in pixels."""
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    sample = getattr(pipeline, "default_sample_size", None) or getattr(getattr(network, "config", None), "sample_size", None)
    factor = getattr(pipeline, "vae_scale_factor", None)
    if isinstance(sample, list | tuple):
        sample = max(sample)
    return int(sample) * int(factor) if sample and factor else SIDE
