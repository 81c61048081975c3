"""Generators: what each asks of its model, and what it makes of the answer."""

import json
import os
import sys
import threading
from types import ModuleType, SimpleNamespace

import huggingface_hub.constants
import pytest
import torch
from peft.tuners.lora import LoraLayer

from fedloom.data.records import Document, Provenance, Turn
from fedloom.errors import MissingExtraError, ModelError, PrivateDataError, RecipeError, RunStoppedError
from fedloom.models.adapters import attach_lora
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.synthesis.generator import BudgetSpentError, Prompt
from fedloom.synthesis.generators.endpoint import EndpointGenerator
from fedloom.synthesis.generators.scripted import ScriptedGenerator
from fedloom.synthesis.generators.transformers import TransformersGenerator
from fedloom.synthesis.generators.vllm import VllmGenerator
from fedloom.synthesis.prompting import load_prompt

PUBLIC, PRIVATE = (Document("Copper is a soft red metal.", provenance) for provenance in (Provenance.PUBLIC, Provenance.PRIVATE))


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def prompts(*documents):
    return [load_prompt("pairs").prompt(document, []) for document in documents]


def replies(generator, asked, known=(), stop=(), lent=None):
    return dict(generator.replies(asked, stop, set(known), {} if lent is None else lent))


def save_adapter(folder, seed):
    """An adapter for tiny-llama in `folder` that changes what it says."""
    adapted = attach_lora(load_model(ModelRecipe(id="tiny-llama")).model, AdapterRecipe(rank=2), seed=1)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora" in name:
                parameter.normal_(0, 1.0)
    adapted.save_pretrained(folder)


def test_the_scripted_writer_asks_what_the_first_thing_is():
    said = replies(ScriptedGenerator(), prompts(PUBLIC, Document("Nothing is said", Provenance.PUBLIC)))
    assert said[0].text == "Question: What is Copper?\nAnswer: Copper is a soft red metal."
    assert load_prompt("pairs").read(said[1]) == "unparsed"


def test_the_scripted_writer_gives_its_answers_in_turn():
    said = replies(ScriptedGenerator(answers=["a", "b"]), prompts(PUBLIC, PUBLIC, PUBLIC), known=[1])
    assert {place: reply.text for place, reply in said.items()} == {0: "a", 2: "a"}


def test_a_reply_begins_as_it_was_begun_and_ends_before_a_stop_string():
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=6)
    (reply,) = replies(generator, prompts(PUBLIC)).values()
    assert reply.text.startswith("Question:")
    assert reply.tokens <= 6
    letter = next(letter for letter in reply.text.removeprefix("Question:") if letter.strip())
    (cut,) = replies(generator, prompts(PUBLIC), stop=[letter]).values()
    assert letter not in cut.text.removeprefix("Question:")
    assert cut.ended


def test_an_adapter_changes_what_is_written_and_is_not_merged(tmp_path):
    save_adapter(tmp_path / "adapter", seed=1)
    plain = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8)
    tuned = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8, adapter=str(tmp_path / "adapter"))
    assert plain.identity() != tuned.identity()
    alone, together = {}, {}
    assert replies(plain, prompts(PUBLIC), lent=alone)[0].text != replies(tuned, prompts(PUBLIC), lent=together)[0].text
    (base,), (adapted,) = ([loaded.model for loaded in lent.values()] for lent in (alone, together))
    layers = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    assert layers
    assert not any(layer.merged for layer in layers)
    for name, weight in base.named_parameters():
        module, _, kind = name.rpartition(".")
        layer = adapted.get_base_model().get_submodule(module)
        assert torch.equal(getattr(layer.base_layer if isinstance(layer, LoraLayer) else layer, kind), weight)


def test_an_adapter_that_was_written_anew_writes_under_its_own_name(tmp_path):
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8, adapter=str(tmp_path))
    lent, said, identities = {}, [], []
    for seed in (1, 2):
        save_adapter(tmp_path, seed)
        identities.append(generator.identity())
        said.append(replies(generator, prompts(PUBLIC), lent=lent)[0].text)
        assert said[-1] == replies(generator, prompts(PUBLIC))[0].text
    assert identities[0] != identities[1]
    assert said[0] != said[1]


@pytest.mark.parametrize("kind", [TransformersGenerator, VllmGenerator])
def test_a_local_writer_is_known_by_its_content_wherever_it_lies(kind, tmp_path):
    def identity(place):
        return kind(model=str(tmp_path / place)).identity()

    def change(byte):
        with (tmp_path / "writer" / "model.safetensors").open("r+b") as file:
            file.seek(9 << 20)
            file.write(byte)

    (tmp_path / "writer").mkdir()
    (tmp_path / "writer" / "config.json").write_text("{}")
    (tmp_path / "writer" / "model.safetensors").write_bytes(bytes(17 << 20))
    first = identity("writer")
    assert str(tmp_path) not in json.dumps(first)
    change(b"1")
    assert identity("writer") != first
    change(b"\0")
    os.utime(tmp_path / "writer" / "model.safetensors", (1, 1))
    assert identity("writer") == first
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "writer").rename(tmp_path / "elsewhere" / "writer")
    assert identity("elsewhere/writer") == first


def test_a_writer_by_name_is_known_by_the_hash_of_its_weights():
    generator = TransformersGenerator(model="tiny-llama")
    assert generator.identity()["model"] == {
        "name": "tiny-llama",
        "sha256": load_model(ModelRecipe(id="tiny-llama")).sha256,
        "revision": None,
    }


@pytest.mark.parametrize("kind", [TransformersGenerator, VllmGenerator])
def test_a_writer_of_the_hub_is_known_by_its_commit(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--owner--name"

    def fetched(commit, revision):
        for path, text in ((cached / "snapshots" / commit / "config.json", "{}"), (cached / "refs" / revision, commit)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def model(revision=None):
        return kind(model="owner/name", revision=revision).identity()["model"]

    assert model("v1") == {"name": "owner/name", "sha256": None, "revision": "v1"}
    fetched("a" * 40, "main")
    assert model() == model("a" * 40) == {"name": "owner/name", "sha256": None, "revision": "a" * 40}
    fetched("b" * 40, "main")
    assert model()["revision"] == "b" * 40
    assert kind(model="./nowhere").identity()["model"]["revision"] is None


def test_a_writer_of_the_hub_is_fetched_before_it_is_named_and_loaded_at_that_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / ("a" * 40)
    asked = []

    def fetch(recipe):
        asked.append(recipe.revision)
        (snapshot.parents[1] / "refs").mkdir(parents=True)
        (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")

    def load(recipe):
        asked.append(recipe.revision)
        return load_model(ModelRecipe(id="tiny-llama"))

    monkeypatch.setattr("fedloom.models.weights.require_model", fetch)
    monkeypatch.setattr("fedloom.synthesis.generators.transformers.load_model", load)
    generator = TransformersGenerator(model="owner/name", max_new_tokens=2)
    assert generator.identity()["model"]["revision"] == "a" * 40
    replies(generator, prompts(PUBLIC))
    assert asked == [None, "a" * 40]


def test_a_prompt_that_is_too_long_for_the_writer_gets_an_empty_reply_and_the_others_theirs(monkeypatch):
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=6, batch_size=2)
    asked = prompts(PUBLIC, Document("Copper is red. " * 200, Provenance.PUBLIC), PRIVATE)
    lent = {}
    whole = replies(generator, asked[::2], lent=lent)
    (loaded,) = lent.values()
    length = whole[0].prompt_tokens
    loaded.model.config.max_position_embeddings = length + 6
    said = replies(generator, asked, lent=lent)
    assert (said[0], said[2]) == (whole[0], whole[1])
    assert (said[1].text, said[1].tokens, said[1].ended) == ("", 0, True)
    assert said[1].prompt_tokens > length
    assert load_prompt("pairs").read(said[1]) == "unparsed"
    assert replies(generator, asked, known=[1, 2], lent=lent) == {0: whole[0]}
    loaded.model.config.max_position_embeddings = length + 5
    assert [reply.text for reply in replies(generator, asked, lent=lent).values()] == ["", "", ""]


def test_a_folder_without_an_adapter_is_one_line(tmp_path):
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", adapter=str(tmp_path))
    with pytest.raises(ModelError, match=r"generator\.adapter: .*: holds no adapter_config\.json"):
        replies(generator, prompts(PUBLIC))


def test_a_template_without_a_system_turn_has_it_before_the_question(monkeypatch):
    from fedloom.models.load import LoadedModel

    loaded = load_model(ModelRecipe(id="tiny-llama"))
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}<{{ m.role }}>{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    asked = []
    monkeypatch.setattr("fedloom.synthesis.generators.transformers.load_model", lambda recipe: loaded)
    monkeypatch.setattr("fedloom.synthesis.generators.loaded.continuations", lambda model, tokenizer, texts, *_: asked.extend(texts) or [])
    assert isinstance(loaded, LoadedModel)
    replies(TransformersGenerator(model="tiny-llama"), prompts(PUBLIC))
    assert asked[0].text.startswith("<user>You write one question")
    assert asked[0].text.endswith("Copper is a soft red metal.<assistant>Question:")


def test_an_endpoint_is_asked_in_turns_and_may_begin_the_reply_itself(serve):
    server = serve(lambda turns: "What is copper?\nAnswer: A metal." if turns[-1]["content"].endswith("metal.") else "Question: x")
    said = replies(EndpointGenerator(url=server.url, model="writer", at_once=2), prompts(PUBLIC, Document("Tin.", Provenance.PUBLIC)))
    assert said[0].text == "Question: What is copper?\nAnswer: A metal."
    assert said[1].text == "Question: x"
    assert server.asked[0][2]["messages"][0]["role"] == "system"


def test_private_text_reaches_a_server_on_loopback_only_if_the_recipe_says_so(serve):
    server = serve(lambda turns: "Question: a?\nAnswer: b.")
    with pytest.raises(PrivateDataError):
        EndpointGenerator(url=server.url, model="w").allow(prompts(PRIVATE)[0])
    allowed = EndpointGenerator(url=server.url, model="w", private_on_loopback=True)
    allowed.allow(prompts(PRIVATE)[0])
    assert replies(allowed, prompts(PRIVATE))[0].text == "Question: a?\nAnswer: b."


@pytest.mark.parametrize("statuses", [[503] * 99, ["<html></html>"] * 99, [401], [404]])
def test_a_server_that_stays_away_stops_the_run_and_what_was_written_counts(serve, statuses):
    server, said = serve(lambda turns: "Question: a?\nAnswer: b.", [200, 200, *statuses]), []
    said_so = r"generator: http://127\.0\.0\.1:\d+/v1: cannot be asked .*mend it, in the run's recipe\.yaml .*and resume"
    with pytest.raises(RunStoppedError, match=said_so):
        said.extend(EndpointGenerator(url=server.url, model="w", at_once=1).replies(prompts(*[PUBLIC] * 9), (), (), {}))
    assert [(place, reply.text) for place, reply in said] == [(0, "Question: a?\nAnswer: b."), (1, "Question: a?\nAnswer: b.")]


def test_replies_under_way_when_one_fails_are_taken_in_and_no_other_is_begun(serve):
    first = threading.Event()

    def answer(turns):
        if "Tin" in turns[-1]["content"]:
            return 401
        first.wait(5)
        return "Question: a?\nAnswer: b."

    server, said = serve(answer), []
    asked = prompts(PUBLIC, Document("Tin.", Provenance.PUBLIC), *[PUBLIC] * 5)
    threading.Timer(0.3, first.set).start()
    with pytest.raises(RunStoppedError, match="HTTP 401"):
        said.extend(EndpointGenerator(url=server.url, model="w", at_once=3).replies(asked, (), (), {}))
    assert sorted(place for place, _ in said) == [0, 2]
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_prompt_that_the_server_does_not_take_gets_an_empty_reply_and_blocks_no_other(serve, status):
    server = serve(lambda turns: status if "Tin" in turns[-1]["content"] else "Question: a?\nAnswer: b.")
    said = replies(EndpointGenerator(url=server.url, model="w"), prompts(Document("Tin.", Provenance.PUBLIC), PUBLIC, PUBLIC))
    assert (said[0].text, said[0].tokens, said[0].ended) == ("", 0, True)
    assert load_prompt("pairs").read(said[0]) == "unparsed"
    assert said[1].text == said[2].text == "Question: a?\nAnswer: b."
    alone = replies(EndpointGenerator(url=server.url, model="w"), prompts(PUBLIC, Document("Tin.", Provenance.PUBLIC)), known=[0])
    assert alone[1].text == ""


def test_a_server_that_takes_no_prompt_at_all_stops_the_run_and_no_reply_is_kept(serve):
    said = []
    with pytest.raises(RunStoppedError, match="HTTP 422"):
        said.extend(EndpointGenerator(url=serve(lambda _: 422).url, model="w").replies(prompts(PUBLIC, PUBLIC), (), (), {}))
    assert said == []


def test_a_wrong_address_is_refused_when_the_recipe_is_read():
    with pytest.raises(RecipeError, match="endpoint: should be a URL"):
        EndpointGenerator(url="localhost", model="w")


def test_vllm_says_which_extra_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"generator\.kind: vllm needs vllm, .*fedloom\[vllm\]"):
        VllmGenerator().check()


@pytest.fixture
def vllm(monkeypatch):
    """A stand-in for vLLM that notes the engines that are made and what they are asked."""
    module = ModuleType("vllm")
    module.made, module.chats = [], []

    class LLM:
        def __init__(self, **how):
            module.made.append(how)

        def chat(self, conversations, sampling, **how):
            module.chats.append((conversations, sampling, how))
            outputs = [SimpleNamespace(text=" a?\nAnswer: b.", token_ids=[1, 2], finish_reason="stop")]
            return [SimpleNamespace(outputs=outputs, prompt_token_ids=[1] * 9) for _ in conversations]

    module.LLM, module.SamplingParams = LLM, lambda **how: how
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda name, number, path: (name, number, path)
    for name, part in (("vllm", module), ("vllm.lora", ModuleType("vllm.lora")), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, part)
    return module


def test_vllm_is_asked_with_the_begun_reply_and_loaded_once(vllm):
    lent = {}
    generator = VllmGenerator(model="m", temperature=0.7, seed=5)
    for _ in range(2):
        said = replies(generator, prompts(PRIVATE, PUBLIC), known=[1], stop=["END"], lent=lent)
    assert (said[0].text, said[0].tokens, said[0].prompt_tokens, said[0].ended) == ("Question: a?\nAnswer: b.", 2, 9, True)
    assert list(said) == [0]
    assert len(vllm.made) == 1
    assert vllm.made[0]["trust_remote_code"] is False
    conversations, (sampling,), how = vllm.chats[0]
    assert conversations[0][-1] == {"role": "assistant", "content": "Question:"}
    assert (how["continue_final_message"], how["add_generation_prompt"]) == (True, False)
    assert (sampling["temperature"], sampling["seed"], sampling["stop"]) == (0.7, 5, ["END"])


def test_vllm_loads_the_commit_that_its_writer_is_known_by(vllm, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for place, text in ((f"snapshots/{'a' * 40}/config.json", "{}"), ("refs/main", "a" * 40)):
        (tmp_path / "models--owner--name" / place).parent.mkdir(parents=True)
        (tmp_path / "models--owner--name" / place).write_text(text)
    replies(VllmGenerator(model="owner/name"), prompts(PUBLIC))
    assert (vllm.made[0]["model"], vllm.made[0]["revision"]) == ("owner/name", "a" * 40)


def test_vllm_gives_its_replies_lot_by_lot_and_begins_none_when_the_budget_is_spent(vllm):
    asked = prompts(*[PUBLIC] * 600)
    given = VllmGenerator(model="m").replies(asked, (), {0}, {})
    places = [next(given)[0]]
    assert [len(conversations) for conversations, _, _ in vllm.chats] == [256]
    places.append(given.throw(BudgetSpentError())[0])
    with pytest.raises(BudgetSpentError):
        places.extend(place for place, _ in given)
    assert [len(conversations) for conversations, _, _ in vllm.chats] == [256]
    assert len(replies(VllmGenerator(model="m"), asked, known=[0])) == 599
    assert [len(conversations) for conversations, _, _ in vllm.chats] == [256, 256, 256, 87]


def test_vllm_does_not_take_an_adapter_that_was_written_anew_for_the_old_one(vllm, tmp_path):
    generator, lent = VllmGenerator(model="m", adapter=str(tmp_path)), {}
    for weights in ("old", "new"):
        (tmp_path / "adapter_model.safetensors").write_text(weights)
        replies(generator, prompts(PUBLIC), lent=lent)
    (old, old_number, _), (new, new_number, place) = (how["lora_request"] for _, _, how in vllm.chats)
    assert len(vllm.made) == 1
    assert old != new
    assert old_number != new_number
    assert place == str(tmp_path)


def test_a_prompt_without_private_parts_is_public():
    assert Prompt.of([Turn("user", "a")], []).provenance is Provenance.PUBLIC
