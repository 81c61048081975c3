"""The presets of OpenFedLLM hold the published settings, and validate without a network; their small twins need no hub."""

import pytest

from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.sources import sources
from fedloom.models.catalogue import catalogue
from fedloom.resolve import load_recipe

SHARED = {"steps": 10, "batch_size": 16, "accumulation": 1, "weight_decay": 0.0, "max_grad_norm": 1.0, "schedule": "cosine_over_rounds"}


def held(recipe, **expected):
    return {key: recipe.task.settings[key] for key in expected} == expected


def test_instruction_tuning_has_the_published_settings():
    recipe = load_recipe("openfedllm_sft")
    federation, adapter, data = recipe.federation, recipe.model.adapter, recipe.data
    assert held(recipe, **SHARED, learning_rate=5e-5, min_learning_rate=1e-6)
    assert (federation.clients, federation.per_round, federation.rounds) == (20, 2, 200)
    assert (adapter.rank, adapter.alpha, adapter.dropout, adapter.targets) == (32, 64, 0.05, ["q_proj", "v_proj"])
    assert (data.source, data.limit, data.template, data.max_length) == ("alpaca-gpt4", 20000, "alpaca", 512)
    assert (recipe.model.id, recipe.model.quantization) == ("meta-llama/Llama-2-7b-hf", "int8")


def test_value_alignment_has_the_published_settings():
    recipe = load_recipe("openfedllm_dpo")
    federation, adapter, data = recipe.federation, recipe.model.adapter, recipe.data
    assert held(recipe, **SHARED, learning_rate=5e-4, min_learning_rate=1e-5, beta=0.1, max_prompt_length=128)
    assert (federation.clients, federation.per_round, federation.rounds) == (5, 2, 200)
    assert (adapter.rank, adapter.alpha) == (8, 16)
    assert (data.source, data.limit, data.template, data.max_length) == ("hh-rlhf", 20000, "vicuna", 512)


def test_the_comparison_has_the_settings_of_instruction_tuning_and_trains_its_baselines():
    compared, alone = load_recipe("openfedllm_baselines"), load_recipe("openfedllm_sft")
    assert compared.evaluate.baselines == ["base", "local", "centralized"]
    assert compared.model_copy(update={"name": alone.name, "evaluate": alone.evaluate}) == alone


def test_the_study_of_domains_gives_each_client_a_public_set_of_its_own():
    recipe = load_recipe("openfedllm_domains")
    sets = recipe.data.source.removeprefix("join:").split(",")
    assert len(set(sets)) == recipe.federation.clients == 4
    assert all(name in NAMED_SETS for name in sets)
    assert recipe.data.partition.kind == "by_source"
    assert recipe.task == load_recipe("openfedllm_sft").task


@pytest.mark.parametrize("name", ["openfedllm_sft", "openfedllm_dpo", "openfedllm_baselines", "openfedllm_domains"])
def test_a_small_twin_keeps_task_template_and_algorithm_and_needs_no_hub(name):
    large, small = load_recipe(name), load_recipe(f"{name}_small")
    assert (small.task.kind, small.data.template, small.algorithm) == (large.task.kind, large.data.template, large.algorithm)
    assert small.model.adapter == large.model.adapter
    assert small.federation.per_round == large.federation.per_round
    assert small.data.partition == large.data.partition
    assert small.data.source in sources or "join:evals:" in small.data.source
    assert small.model.id in {entry.id for entry in catalogue()}
