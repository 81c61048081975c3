"""Generators: what each asks of its model, and what it makes of the answer."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from fedloom.data.records import Document, Provenance, Turn
from fedloom.errors import MissingExtraError, ModelError, PrivateDataError, RecipeError, RunStoppedError
from fedloom.models.adapters import attach_lora
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.synthesis.generator import Prompt
from fedloom.synthesis.generators.endpoint import EndpointGenerator
from fedloom.synthesis.generators.scripted import ScriptedGenerator
from fedloom.synthesis.generators.transformers import TransformersGenerator
from fedloom.synthesis.generators.vllm import VllmGenerator
from fedloom.synthesis.prompting import load_prompt

PUBLIC, PRIVATE = (Document("Copper is a soft red metal.", provenance) for provenance in (Provenance.PUBLIC, Provenance.PRIVATE))


def prompts(*documents):
    return [load_prompt("pairs").prompt(document, []) for document in documents]


def replies(generator, asked, known=(), stop=()):
    return dict(generator.replies(asked, stop, set(known), {}))


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
    loaded = load_model(ModelRecipe(id="tiny-llama"))
    adapted = attach_lora(loaded.model, AdapterRecipe(rank=2), seed=1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora" in name:
                parameter.normal_(0, 1.0)
    adapted.save_pretrained(tmp_path / "adapter")
    plain = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8)
    tuned = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8, adapter=str(tmp_path / "adapter"))
    assert plain.identity() != tuned.identity()
    assert replies(plain, prompts(PUBLIC))[0].text != replies(tuned, prompts(PUBLIC))[0].text


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
    monkeypatch.setattr(
        "fedloom.synthesis.generators.transformers.continuations", lambda model, tokenizer, texts, *_: asked.extend(texts) or []
    )
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


@pytest.mark.parametrize("statuses", [[503] * 99, ["<html></html>"] * 99])
def test_a_server_that_stays_away_stops_the_run_and_what_was_written_counts(serve, statuses):
    server = serve(lambda turns: "Question: a?\nAnswer: b.", statuses)
    with pytest.raises(RunStoppedError, match=r"generator: http://127\.0\.0\.1:\d+/v1: cannot be asked .*mend it and resume"):
        replies(EndpointGenerator(url=server.url, model="w"), prompts(PUBLIC))


def test_a_wrong_address_is_refused_when_the_recipe_is_read():
    with pytest.raises(RecipeError, match="endpoint: should be a URL"):
        EndpointGenerator(url="localhost", model="w")


def test_vllm_says_which_extra_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"generator\.kind: vllm needs vllm, .*fedloom\[vllm\]"):
        VllmGenerator().check()


def test_vllm_is_asked_with_the_begun_reply_and_loaded_once(monkeypatch, tmp_path):
    made, chats = [], []

    class LLM:
        def __init__(self, **how):
            made.append(how)

        def chat(self, conversations, sampling, **how):
            chats.append((conversations, sampling, how))
            outputs = [SimpleNamespace(text=" a?\nAnswer: b.", token_ids=[1, 2], finish_reason="stop")]
            return [SimpleNamespace(outputs=outputs, prompt_token_ids=[1] * 9) for _ in conversations]

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, lambda **how: how
    monkeypatch.setitem(sys.modules, "vllm", module)
    lent = {}
    generator = VllmGenerator(model="m", temperature=0.7, seed=5)
    for _ in range(2):
        said = dict(generator.replies(prompts(PRIVATE, PUBLIC), ["END"], {1}, lent))
    assert (said[0].text, said[0].tokens, said[0].prompt_tokens, said[0].ended) == ("Question: a?\nAnswer: b.", 2, 9, True)
    assert list(said) == [0]
    assert len(made) == 1
    assert made[0]["trust_remote_code"] is False
    conversations, sampling, how = chats[0]
    assert conversations[0][-1] == {"role": "assistant", "content": "Question:"}
    assert (how["continue_final_message"], how["add_generation_prompt"]) == (True, False)
    assert (sampling["temperature"], sampling["seed"], sampling["stop"]) == (0.7, 5, ["END"])


def test_a_prompt_without_private_parts_is_public():
    assert Prompt.of([Turn("user", "a")], []).provenance is Provenance.PUBLIC
