"""LoRA adapters: attach them with a seeded start, write and read PEFT's format, merge them into a whole model."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fedloom.errors import ModelError, RecipeError
from fedloom.files import disk_errors_named, whole_folder, write_atomic
from fedloom.models.load import load_model, load_tokenizer
from fedloom.models.quiet import quiet
from fedloom.models.save import save_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.streams import torch_stream

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def attach_lora(model: Any, adapter: AdapterRecipe, seed: int) -> PeftModel:
    """`model` (changed in place) with trainable LoRA factors in the dtype of the layers they sit on (Hu et al., arXiv:2106.09685).

    B is zero and A uniform in +-1/sqrt(fan in), drawn in fp32 from a stream of its own for each parameter: the start depends on `seed`
    and the parameter's name alone. A classification head is trained whole beside them. Raises RecipeError for targets that the model does
    not have.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=int(adapter.alpha) if adapter.alpha == int(adapter.alpha) else adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=_targets(model, adapter.targets),
        task_type="SEQ_CLS" if hasattr(model, "score") else "CAUSAL_LM",
    )
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            attached = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:  # layers that PEFT cannot adapt, such as some of recurrent models
        raise RecipeError(f"model.adapter.targets: {str(error).splitlines()[0]}; name others{_nearest('', _layers(model))}") from None
    with torch.no_grad():
        for name, parameter in attached.named_parameters():
            if ".lora_A." in name:
                start = torch.empty(parameter.shape, dtype=torch.float32)
                nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=torch_stream(seed, "lora-init", name))
                parameter.copy_(start)
    return attached


def save_adapter(state: Mapping[str, Tensor], model: PeftModel, folder: Path, base_id: str, revision: str | None = None) -> None:
    """Write `state` into `folder` in PEFT's format (fp32), which PEFT, transformers and vLLM load. Equal states give equal bytes.

    `state` maps the names of the trainable parameters of `model` to tensors; `base_id` is a hub id or an absolute folder, as
    `LoadedModel.id` gives it, and `revision` that of the hub. Raises ModelError when the names are not those of the model's adapter.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    with quiet():
        named = get_peft_model_state_dict(model, state_dict=dict(state), save_embedding_layers=False)
    trained = {name: tensor.shape for name, tensor in model.named_parameters() if tensor.requires_grad}
    if len(named) != len(state) or {name: tensor.shape for name, tensor in state.items()} != trained:
        raise ModelError(f"{folder}: the state does not fit the model's adapter: {len(state)} tensors given, {len(trained)} trained")
    tensors = {name: named[name].detach().to("cpu", torch.float32).contiguous() for name in sorted(named)}
    with disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    write_atomic(folder / CONFIG, _config_json(model, base_id, revision))


def load_adapter(folder: Path) -> dict[str, Tensor]:
    """The fp32 tensors of an adapter in PEFT's format under the parameter names of a model with that adapter, in the file's order.

    Raises ModelError for a folder that holds no adapter, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_adapter(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ModelError(f"{folder / WEIGHTS}: is damaged ({error}); take it from the run folder again") from None
    return {_parameter_name(name): tensor.float() for name, tensor in tensors.items()}


def _parameter_name(name: str) -> str:
    """What a model with PEFT's adapter calls the tensor `name` of an adapter file."""
    return re.sub(r"\.(lora_[AB])\.weight$", r".\1.default.weight", name).replace(".score.weight", ".score.modules_to_save.default.weight")


def merge(model_id: str, adapter_folder: Path, out: Path, labels: Sequence[str] | None = None) -> None:
    """Write base model plus adapter as one whole fp32 model into the new folder `out`, with the tokenizer that is beside the adapter, or
    the base model's.

    `model_id` is what `model.id` of a recipe may be, `labels` those of a classification head. Raises ModelError when one of the
    two cannot be loaded, they do not fit, or `out` exists.
    """
    from peft import PeftModel

    config = _check_adapter(adapter_folder)
    load_adapter(adapter_folder)  # a damaged one is refused before the base model is loaded, which may take minutes
    if out.exists():
        raise ModelError(f"{out}: exists; name a new folder")
    plain = {"id": model_id, "revision": config.get("revision"), "dtype": "float32", "device": "cpu"}
    base = load_model(ModelRecipe.model_validate(plain), labels)
    try:
        with quiet():
            merged = PeftModel.from_pretrained(base.model, adapter_folder).merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{adapter_folder}: the adapter does not fit the model {model_id} ({reason})") from error
    with whole_folder(out) as folder:
        save_model(merged, load_tokenizer(adapter_folder) or base.tokenizer, folder)


def _targets(model: Any, targets: str | list[str]) -> str | list[str]:
    """`targets` for PEFT. A regular expression becomes the list of its layers, because it may also match the blocks around them."""
    if targets == "all-linear":
        return targets
    layers = _layers(model)
    if isinstance(targets, str):
        try:
            pattern = re.compile(targets)
        except re.error as error:
            raise RecipeError(f"model.adapter.targets: '{targets}' is not a regular expression ({error})") from None
        if found := [name for name in layers if pattern.fullmatch(name)]:
            return found
        raise RecipeError(f"model.adapter.targets: '{targets}' matches no full layer name such as '{layers[0]}'{_nearest(targets, layers)}")
    if not targets:
        raise RecipeError(f"model.adapter.targets: is empty; write all-linear or a list of layer names{_nearest('', layers)}")
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            raise RecipeError(f"model.adapter.targets: the model has no layer '{target}'{_nearest(target, layers)}")
    return targets


def _layers(model: Any) -> list[str]:
    """The linear layers by full name, without an output layer that shares its weights with the embedding: merging would change both."""
    from transformers.pytorch_utils import Conv1D

    tied = model.get_input_embeddings().weight
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | Conv1D) and layer.weight is not tied]


def _nearest(target: str, layers: list[str]) -> str:
    known = sorted({name.rsplit(".", 1)[-1] for name in layers})
    close = difflib.get_close_matches(target, known, n=1, cutoff=0.5)
    return f"; did you mean [{close[0]}]?" if close else f"; its layers are called {', '.join(known)}"


def _config_json(model: PeftModel, base_id: str, revision: str | None) -> str:
    config = model.peft_config["default"].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    plain |= {"base_model_name_or_path": base_id, "revision": revision, "inference_mode": True}
    return json.dumps(plain, indent=2, sort_keys=True) + "\n"


def _check_adapter(folder: Path) -> dict[str, Any]:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: holds no adapter ({name} is missing); name the folder `adapter` of a run, or PEFT's")
    try:
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        raise ModelError(f"{folder / CONFIG}: is not valid JSON; take it from the run folder again") from None
