"""Load a base model: a named one, a local folder, a .gguf file or a model of the hub, frozen and ready for adapters."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedloom.errors import MissingExtraError, ModelError
from fedloom.files import cache_folder, local_path, sha256_of, write_atomic
from fedloom.models.attention import use_short_rows
from fedloom.models.catalogue import catalogue, fetch
from fedloom.models.quiet import quiet
from fedloom.recipe import ModelRecipe

HEAD = "score.weight"
"""The weights of a classification head, as transformers calls them."""

HASHED_BEFORE = 64 << 20  # bytes; larger files are hashed once and remembered


@dataclass(frozen=True)
class LoadedModel:
    """A frozen base model in evaluation mode, with its tokenizer.

    `sha256` is the hash of its weights as published, whatever precision they were loaded in: sites compare it. `id` is the name in the
    recipe, an absolute path for a local model. `base` is what other programs load it by: a hub id, at the commit `revision`, or an
    absolute folder.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    sha256: str
    id: str
    base: str
    revision: str | None


def load_model(recipe: ModelRecipe, labels: Sequence[str] | None = None) -> LoadedModel:
    """The model that `recipe` names, in its dtype, on its device. With `labels` it scores these in place of the vocabulary, by a head W of
    shape (labels, hidden) on the last token, which starts at zero unless the model's files hold one; with no label at all it is a model
    that scores by itself, such as a reward model, with the head and the outputs that its files hold.

    Raises ModelError, in one line, when the model cannot be found, read or put on the device; MissingExtraError without bitsandbytes.
    """
    device = device_named(recipe.device)
    quantization = _quantization(recipe, device, keep=None if labels is None else ["score"])
    source = _find(recipe)
    with _loading(recipe.id, silent=source.gguf is not None):
        tokenizer = _tokenizer(source)
        model = _model(source, recipe, device, quantization, labels)
    if labels is not None:
        model.config.pad_token_id = tokenizer.pad_token_id
    model.requires_grad_(False)
    if quantization is not None:
        _prepare_quantized(model, recipe.gradient_checkpointing)
    elif recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if device.type == "cpu" and recipe.dtype == "bfloat16":
        use_short_rows(model)
    model.eval()
    return LoadedModel(model, tokenizer, device, _sha256(source.weights), source.id, source.base, source.revision)


def tokenizer_here(recipe: ModelRecipe) -> Any | None:
    """The tokenizer of the model that `recipe` names; None when its files are not on this machine yet. Nothing is fetched.

    Raises ModelError as `load_model` does.
    """
    named = next((entry for entry in catalogue() if entry.id == recipe.id), None)
    if named is not None and not named.cached and named.size_bytes:
        return None
    if named is None and not local_path(recipe.id).exists():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(recipe.id, revision=recipe.revision, local_files_only=True))
        except Exception:  # noqa: BLE001 - of whatever kind, its files are not here
            return None
        source = _Source(folder, None, [], recipe.id, recipe.id)
    else:
        source = _find(recipe)
    with _loading(recipe.id):
        return _tokenizer(source)


def load_tokenizer(folder: Path) -> Any | None:
    """The tokenizer in `folder`; None where there is none. Raises ModelError for a damaged one."""
    if not (folder / "tokenizer_config.json").is_file():
        return None
    with _loading(str(folder)):
        return _tokenizer(_Source(folder, None, [], str(folder), str(folder)))


def require_model(recipe: ModelRecipe) -> None:
    """Make sure that the model's files are on this machine, and fetch them if need be. Raises ModelError."""
    _find(recipe)


def sha256_of_model(recipe: ModelRecipe) -> str:
    """`LoadedModel.sha256` of the model, without loading it. Its files are fetched if need be. Raises ModelError."""
    return _sha256(_find(recipe).weights)


def labels_of(recipe: ModelRecipe) -> dict[str, int]:
    """label, in small letters -> its output, of a model of sequence classification, by its configuration alone. Raises ModelError."""
    from transformers import AutoConfig

    with _loading(recipe.id):
        config = AutoConfig.from_pretrained(_find(recipe).folder, trust_remote_code=False)
    return {str(label).lower(): int(output) for output, label in config.id2label.items()}


@contextlib.contextmanager
def _loading(name: str, silent: bool = False) -> Iterator[None]:
    """Errors of transformers as one line. `silent`: nothing is written to standard error, since unpacking a .gguf draws a bar there that
    no setting turns off."""
    silence = contextlib.redirect_stderr(io.StringIO()) if silent else contextlib.nullcontext()
    try:
        with quiet(), silence:
            yield
    except ModelError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{name}: its files hold a program (auto_map), and no program of a model is run here; use a model that transformers knows"
            ) from None
        reason = f"{name}: cannot be loaded ({_first_line(error)})"
        raise ModelError(f"{reason}; check that its files are complete and that transformers knows its architecture") from error


def learned_positions(model: Any) -> int | None:
    """The number of positions that `model` has a learned embedding for; None for models that reach further, by rotation or distance."""
    text = model.config.get_text_config()
    for name, module in model.named_modules():
        learned = isinstance(module, torch.nn.Embedding) and re.search(r"(^|[._])(wpe|position_embeddings?|embed_positions)$", name)
        if learned and not re.search("vision|visual|image|audio", name):  # places in a picture are not places in a text
            return int(getattr(text, "max_position_embeddings", module.num_embeddings))
    return None


@dataclass(frozen=True)
class _Source:
    """Where a model is on disk: what to load, the files whose hash names it, its id, and what other programs load it by."""

    folder: Path
    gguf: str | None
    weights: list[Path]
    id: str
    base: str
    revision: str | None = None


def device_named(name: str) -> torch.device:
    """The device that `model.device` names; auto is cuda, then mps, then cpu. Raises ModelError for one that this machine does not have."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(f"model.device: '{name}' is no device; write auto, cpu, cuda, cuda:0 or mps") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ModelError(f"model.device: there is no {name} on this machine; write auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError("model.device: there is no mps on this machine; write auto or cpu")
    return device


def _quantization(recipe: ModelRecipe, device: torch.device, keep: list[str] | None) -> Any:
    """The quantisation of all linear layers but `keep`; None keeps the output layer."""
    if recipe.quantization is None:
        return None
    if device.type != "cuda":
        raise ModelError(f"model.quantization: {recipe.quantization} needs a CUDA device, got {device.type}; write null")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtraError("bitsandbytes", "bitsandbytes", f"model.quantization: {recipe.quantization}") from None
    from transformers import BitsAndBytesConfig

    if recipe.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=keep)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=keep,
    )


def _find(recipe: ModelRecipe) -> _Source:
    name = recipe.id
    if name in {entry.id for entry in catalogue()}:
        published = fetch(name)
        folder = fetch(name, "bfloat16") if recipe.dtype == "bfloat16" else published
        return _Source(folder, None, _weights(published), name, str(published.resolve()))
    path = local_path(name)
    if name.endswith(".gguf"):
        return _find_gguf(path)
    if path.is_dir():
        return _find_folder(path)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith((".", "~")):
        raise ModelError(f"{name}: no such folder; model.id is a name of `fedloom models ls`, a hub id, a local folder, or a .gguf file")
    return _find_on_hub(name, recipe.revision)


def _find_gguf(path: Path) -> _Source:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; model.id should name a .gguf file that exists")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path}: is not a GGUF file (it should begin with the letters GGUF); copy or download it again")
    return _Source(path.parent.resolve(), path.name, [path], str(path.resolve()), str(path.parent.resolve()))


def _find_folder(folder: Path) -> _Source:
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{folder}: is an adapter, not a model; name its base model, or merge the two with `fedloom export --merge`")
        raise ModelError(f"{folder}: has no config.json; a model folder holds config.json, *.safetensors and the tokenizer's files")
    weights = _weights(folder)
    if not weights:
        raise ModelError(f"{folder}: has no weights; a model folder holds model.safetensors (or pytorch_model.bin) beside config.json")
    return _Source(folder.resolve(), None, weights, str(folder.resolve()), str(folder.resolve()))


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _find_on_hub(name: str, revision: str | None) -> _Source:
    """Download the files of one model (the hub's own cache, HF_HUB_OFFLINE and its tokens apply), then treat them as a local folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    files = ["*.json", "*.jinja", "*.txt", "*.model"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*files, "model*.safetensors"], ignore_patterns="*/*"))
        if not _weights(folder):
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*files, "pytorch_model*.bin"], ignore_patterns="*/*"))
    except GatedRepoError:
        raise ModelError(f"{name}: the hub asks for permission; accept its terms on the model's page, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise ModelError(f"{name}: the hub has no revision '{revision}'; write a commit, tag or branch in model.revision") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{name}: the hub has no such model{_instead(name)}") from None
    except Exception as error:
        raise ModelError(f"{name}: is not on this machine and the hub cannot be reached{_instead(name)}") from error
    found = _find_folder(folder)
    commit = folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else revision  # the hub's cache calls a snapshot by its commit
    return _Source(found.folder, None, found.weights, name, name, commit)


def _instead(name: str) -> str:
    known = [entry.id for entry in catalogue()]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    meant = f"did you mean '{close[0]}'? " if close else ""
    return f"; {meant}use a name of `fedloom models ls`, a local folder, or a network with access to the hub"


def _tokenizer(source: _Source) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, gguf_file=source.gguf, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError(f"{source.id}: its tokenizer has neither a pad nor an eos token; set eos_token in tokenizer_config.json")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _model(source: _Source, recipe: ModelRecipe, device: torch.device, quantization: Any, labels: Sequence[str] | None) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GgufConfig

    options: dict[str, Any] = {"quantization_config": quantization} if quantization is not None else {}
    if source.gguf is not None:
        if quantization is not None:
            raise ModelError("model.quantization: a .gguf file is unpacked when it is loaded and cannot be quantised again; write null")
        options = {"gguf_file": source.gguf, "quantization_config": GgufConfig(dequantize=True)}
    if device.type != "cpu":
        options["device_map"] = {"": device}
    kind = AutoModelForCausalLM
    if labels is not None:
        kind = AutoModelForSequenceClassification
    if labels:
        options |= {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    model, report = kind.from_pretrained(
        source.folder,
        dtype=getattr(torch, recipe.dtype),
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    if labels is not None and not labels and report["missing_keys"]:
        raise ModelError(f"{source.id}: has no head that scores; name a reward model")
    if missing := sorted(set(report["missing_keys"]) - {HEAD}):
        raise ModelError(f"{source.id}: its weights lack {len(missing)} tensors of a {model.config.model_type} model, '{missing[0]}' first")
    if HEAD in report["missing_keys"]:
        torch.nn.init.zeros_(model.score.weight)
    return model


def _prepare_quantized(model: Any, gradient_checkpointing: bool) -> None:
    from peft import prepare_model_for_kbit_training

    prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=gradient_checkpointing, gradient_checkpointing_kwargs={"use_reentrant": False}
    )


def _sha256(weights: list[Path]) -> str:
    """The file's own checksum; for several files, that of the list of their names and checksums."""
    if len(weights) == 1:
        return _file_sha256(weights[0])
    listing = "".join(f"{_file_sha256(path)}  {path.name}\n" for path in weights)
    return hashlib.sha256(listing.encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    path = path.resolve()
    status = path.stat()
    if status.st_size < HASHED_BEFORE:
        return sha256_of(path)
    stamp = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    note = cache_folder() / "sha256" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    try:
        known = json.loads(note.read_text())
        if {key: known[key] for key in stamp} == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no note yet, or one of an interrupted disk: hash again
    digest = sha256_of(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(note, json.dumps({**stamp, "sha256": digest}))
    return digest


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
