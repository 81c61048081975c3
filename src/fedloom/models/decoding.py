"""The arithmetic of generation: the next token's logits of many texts at once, and what each of them keeps from one token to the next.

Half of the time of a short answer goes into reading its prompt. So what all prompts begin with is read once, and the rest of a few prompts
of like length at a time; keys and values have their room from the start and are not copied for every token; and texts that are at their end
are taken out. That needs a cache of plain layers, one key and value for each token. Other models take the slower ways below.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

SHORTEST_SHARED = 16
"""Tokens from which on a beginning that all prompts share is read by itself."""

READ_AT_ONCE = {"cpu": 1280}
"""Tokens of prompts that are read at once, by the kind of device: larger products are slower on a CPU, and padding costs more."""
READ_AT_ONCE_ELSEWHERE = 16_384


class Decoder(Protocol):
    """Some texts that grow. `logits` (rows, vocabulary), fp32, are those of each text's next token."""

    logits: Tensor

    def append(self, tokens: Tensor) -> None:
        """Add one token to each text: (rows,)."""

    def keep(self, rows: Tensor) -> bool:
        """Go on with the texts at these places alone. False where that cannot be done, and all go on."""


class Decoders:
    """Starts the decoders of one model. `prompts`, token ids each, are all that will be asked: what they begin with is read once.

    To be used and left without gradients (`torch.inference_mode`).
    """

    def __init__(self, model: Any, prompts: Sequence[list[int]]) -> None:
        whole = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._model, self._takes = model, inspect.signature(whole.forward).parameters
        self._packs = "past_key_values" in self._takes and _has_plain_cache(model)
        self._shared: Cache | None = None
        shared = shared_beginning(prompts) if len(prompts) > 1 and self._packs else 0
        if shared >= SHORTEST_SHARED:
            self._shared = self._read([list(prompts[0][:shared])])[0]
            self._packs = self._shared is not None

    def start(self, prompts: Sequence[list[int]], most: int) -> Decoder:
        """A decoder of `prompts`, each of one token or more, that grow by up to `most` tokens."""
        if self._packs:
            packed = self._packed(prompts, most)
            if packed is not None:
                return packed
            self._packs = False
        if "past_key_values" in self._takes:
            padded = _Padded(self._model, self._takes, prompts)
            if padded.cache is not None:
                return padded
        return _Whole(self._model, prompts)

    def _packed(self, prompts: Sequence[list[int]], most: int) -> _Packed | None:
        """None for a model that did not fill the cache as one of plain layers is filled."""
        read = [self._read(group) for group in self._groups(prompts)]
        if any(cache is None for cache, _ in read):
            return None
        caches = [cache for cache, _ in read if cache is not None]
        logits = torch.cat([found for _, found in read])
        return _Packed(self._model, self._takes, caches, [len(prompt) for prompt in prompts], logits, self._begun, most)

    def _groups(self, prompts: Sequence[list[int]]) -> list[list[list[int]]]:
        """`prompts` in groups that are read at once."""
        most = READ_AT_ONCE.get(self._model.device.type, READ_AT_ONCE_ELSEWHERE)
        groups: list[list[list[int]]] = []
        for prompt in prompts:
            width = max(map(len, [prompt, *groups[-1]])) - self._begun if groups else 0
            if groups and width * (len(groups[-1]) + 1) <= most:
                groups[-1].append(prompt)
            else:
                groups.append([prompt])
        return groups

    @property
    def _begun(self) -> int:
        return self._shared.get_seq_length() if self._shared is not None else 0

    def _read(self, prompts: Sequence[list[int]]) -> tuple[Cache | None, Tensor]:
        """The cache of `prompts`, after the shared beginning and padded on the left of what follows it, and the next token's logits."""
        begun, rows, device = self._begun, len(prompts), self._model.device
        rest = [prompt[begun:] for prompt in prompts]
        width = max(map(len, rest))
        tokens = torch.tensor([[0] * (width - len(one)) + one for one in rest], device=device)
        mask = torch.tensor([[1] * begun + [0] * (width - len(one)) + [1] * len(one) for one in rest], device=device)
        cache: Cache = DynamicCache(config=self._model.config) if self._shared is None else _begin_with(self._shared, rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, begun:]
        output = _forward(self._model, self._takes, tokens, mask, cache, positions)
        filled = [layer.is_initialized and layer.get_seq_length() == begun + width for layer in cache.layers]
        plain = getattr(output, "past_key_values", None) is cache and all(filled)
        return (cache if plain else None), output.logits[:, -1].float()


class _Packed:
    """Texts whose keys and values stand side by side, aligned at their ends, with room for what is to come.

    There is always a place more than the longest prompt needs, which the mask leaves out: torch's kernel for heads that share keys takes
    twice as long on a CPU without a mask.
    """

    def __init__(
        self,
        model: Any,
        takes: Mapping[str, Any],
        caches: Sequence[Cache],
        lengths: Sequence[int],
        logits: Tensor,
        begun: int,
        most: int,
    ) -> None:
        self._model, self._takes, self.logits = model, takes, logits
        width = max(lengths) + 1
        self._cache = Cache(layers=[_Roomy(caches, number, lengths, begun, width, most) for number in range(len(caches[0].layers))])
        places = torch.arange(width + most, device=logits.device)
        ends = torch.tensor([width - length for length in lengths], device=logits.device)
        self._mask = (places >= ends[:, None]).long()
        self._positions = torch.tensor(lengths, device=logits.device)[:, None]
        self._end = width

    def append(self, tokens: Tensor) -> None:
        self._end += 1
        output = _forward(self._model, self._takes, tokens[:, None], self._mask[:, : self._end], self._cache, self._positions)
        self.logits = output.logits[:, -1].float()
        self._positions = self._positions + 1

    def keep(self, rows: Tensor) -> bool:
        for layer in self._cache.layers:
            layer.batch_select_indices(rows)
        self._mask, self._positions, self.logits = self._mask[rows], self._positions[rows], self.logits[rows]
        return True


class _Roomy(DynamicLayer):
    """The keys and values of layer `number` of `caches`, laid side by side, (rows, heads, width + most, d); its end moves, nothing is
    copied when a token is added."""

    def __init__(self, caches: Sequence[Cache], number: int, lengths: Sequence[int], begun: int, width: int, most: int) -> None:
        super().__init__()
        layers = [cache.layers[number] for cache in caches]
        first = layers[0].keys
        self.dtype, self.device, self.is_initialized = first.dtype, first.device, True
        self._room = tuple(
            _side_by_side([getattr(layer, name) for layer in layers], lengths, begun, width, most) for name in ("keys", "values")
        )
        self._show(width)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        begin = self.keys.shape[-2]
        end = begin + key_states.shape[-2]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, begin:end] = new
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._room = tuple(room[indices] for room in self._room)
        self._show(self.keys.shape[-2])

    def _show(self, end: int) -> None:
        self.keys, self.values = (room[:, :, :end] for room in self._room)


def _side_by_side(parts: Sequence[Tensor], lengths: Sequence[int], begun: int, width: int, most: int) -> Tensor:
    """The texts in `parts`, (rows, heads, tokens, d) each, with their last tokens at the place `width`. Padding stands after `begun`."""
    first = parts[0]
    room = first.new_zeros(len(lengths), first.shape[1], width + most, first.shape[3])
    found = (row for part in parts for row in part)
    for number, (row, length) in enumerate(zip(found, lengths, strict=True)):
        begin = width - length
        room[number, :, begin : begin + begun] = row[:, :begun]
        room[number, :, begin + begun : width] = row[:, row.shape[1] - (length - begun) :]
    return room


class _Padded:
    """Texts in the cache that the model makes for itself, padded on the left and told apart from padding by the mask."""

    def __init__(self, model: Any, takes: Mapping[str, Any], prompts: Sequence[list[int]]) -> None:
        self._model, self._takes = model, takes
        width = max(map(len, prompts))
        tokens = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
        self._mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self.cache: Any = None
        self._forward(tokens)

    def append(self, tokens: Tensor) -> None:
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1
        self._forward(tokens[:, None])

    def keep(self, rows: Tensor) -> bool:
        return False

    def _forward(self, tokens: Tensor) -> None:
        output = _forward(self._model, self._takes, tokens, self._mask, self.cache, self._positions)
        self.cache = getattr(output, "past_key_values", None)
        self.logits = output.logits[:, -1].float()


class _Whole:
    """Texts of a model without a cache, such as a recurrent one: every token computes all of them anew.

    Padded on the right, where what comes later changes nothing before it: a recurrent state that had read padding would be another one.
    """

    def __init__(self, model: Any, prompts: Sequence[list[int]]) -> None:
        self._model, self._texts = model, [list(prompt) for prompt in prompts]
        self.logits = self._computed()

    def append(self, tokens: Tensor) -> None:
        for text, token in zip(self._texts, tokens.tolist(), strict=True):
            text.append(token)
        self.logits = self._computed()

    def keep(self, rows: Tensor) -> bool:
        self._texts, self.logits = [self._texts[row] for row in rows.tolist()], self.logits[rows]
        return True

    def _computed(self) -> Tensor:
        device = self._model.device
        ends = torch.tensor([len(text) - 1 for text in self._texts], device=device)
        width = max(map(len, self._texts))
        tokens = torch.tensor([text + [0] * (width - len(text)) for text in self._texts], device=device)
        logits = self._model(input_ids=tokens, use_cache=False).logits
        found: Tensor = logits[torch.arange(len(self._texts), device=device), ends].float()
        return found


def shared_beginning(prompts: Sequence[list[int]]) -> int:
    """The number of tokens that all `prompts` begin with. Each keeps one of its own at the least."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), max(most, 0))


def _forward(model: Any, takes: Mapping[str, Any], tokens: Tensor, mask: Tensor, cache: Any, positions: Tensor) -> Any:
    placed = {"position_ids": positions} if "position_ids" in takes else {}  # without, the model counts from the mask, or by distance
    only_last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    return model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **placed, **only_last)


def _has_plain_cache(model: Any) -> bool:
    """Whether each layer of the model keeps one key and one value for each token: no windows, no recurrent states."""
    try:
        layers = DynamicCache(config=model.config).layers
    except (AttributeError, KeyError, TypeError, ValueError):  # a configuration that says nothing of its layers
        return False
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _begin_with(shared: Cache, rows: int) -> Cache:
    """A cache of `rows` texts that have the `shared` beginning. Its tensors are not copied: a layer that grows makes new ones."""
    layers = []
    for source in shared.layers:
        layer = DynamicLayer()
        layer.lazy_initialization(source.keys, source.values)
        layer.keys, layer.values = source.keys.expand(rows, -1, -1, -1), source.values.expand(rows, -1, -1, -1)
        layers.append(layer)
    return Cache(layers=layers)
