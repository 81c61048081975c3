"""Filters: each kind of pair that spoils a data set is left out for its reason, and good short ones stay."""

from collections import Counter

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.errors import ModelError, RecipeError
from fedloom.synthesis.filters import (
    DEFAULT,
    CopiedExample,
    CopiedPassage,
    Entailed,
    Grounded,
    Lengths,
    NearDuplicates,
    PersonalData,
    RewardFloor,
    SelfContained,
    filtered,
    in_order,
    jaccard,
    pair_filters,
    support,
)
from fedloom.synthesis.prompting import Pair

PASSAGE = (
    "Asthma narrows the airways in the lungs, which makes breathing hard. Dust, cold air and exercise can start an attack. About 262"
    " million people had it in 2019."
)


def pair(question="What can start an asthma attack?", answer="Dust, cold air and exercise.", passage=PASSAGE, examples=()):
    return Pair(question, answer, Document(passage, Provenance.PRIVATE), examples)


def example(question, answer):
    return Conversation((Turn("user", question), Turn("assistant", answer)), Provenance.PUBLIC, {"document": "a"})


def reason(one, *args, **kwargs):
    return one.reasons([pair(*args, **kwargs)])[0]


def default_chain():
    return [pair_filters.get(one["kind"])() for one in DEFAULT]


def test_a_good_pair_passes_the_default_chain_even_with_an_answer_of_one_word():
    good = [pair(), pair("What does asthma narrow?", "Airways."), pair("How many people had asthma in 2019?", "About 262 million.")]
    assert filtered(good, default_chain()) == (good, Counter())


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Why?", "Dust.", "too_short"),
        ("What is it like?", "", "too_short"),
        ("word " * 61, "Dust.", "too_long"),
        ("What is it?", "w " * 201, "too_long"),
    ],
)
def test_lengths(question, answer, expected):
    assert reason(Lengths(), question, answer) == expected


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the main idea of the text?", "Asthma."),
        ("According to the passage, what can start an asthma attack?", "Dust."),
        ("What does the author say about asthma?", "It is hard."),
        ("What is mentioned above about asthma?", "Dust."),
        ("How do they breathe with asthma?", "Hardly."),
        ("What is the capital of France?", "Paris."),
        ("What can start an asthma attack?", "The passage says that dust can."),
        ("What does the report say about asthma?", "It is hard."),
        ("Based on the information provided in the table, what is asthma?", "It is hard."),
        ("What are the symptoms of the condition?", "Breathing is hard."),
    ],
)
def test_a_question_that_needs_the_passage_is_not_self_contained(question, answer):
    assert reason(SelfContained(), question, answer) == "not_self_contained"


@pytest.mark.parametrize(
    "question", ["What makes breathing hard, and how does it start?", "Which textile dust can start an asthma attack?"]
)
def test_a_pronoun_after_what_it_stands_for_is_no_fault(question):
    assert reason(SelfContained(), question, "Dust.") is None


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Who is the author of Emma?", "Jane Austen wrote Emma."),
        ("What is the Caesarean section?", "A Caesarean section is an operation."),
        ("What does the context switch of a CPU store?", "A context switch of a CPU stores registers."),
        ("What are Alzheimer's main signs?", "People with Alzheimer forget names."),
    ],
)
def test_a_word_for_a_text_that_stands_for_something_else_is_no_fault(question, passage):
    assert reason(SelfContained(), question, "Dust.", passage) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Dust and cold air start attacks.", None),
        ("Smoking causes cancer of the liver.", "not_grounded"),
        ("About 300 million people had asthma.", "not_grounded"),
        ("262 million.", None),
        ("It is this.", "not_grounded"),
        ("Dust cannot start an attack.", "not_grounded"),
        ("An attack can start exercise, air, cold and dust.", "not_grounded"),
    ],
)
def test_an_answer_needs_the_words_and_the_numbers_of_the_passage(answer, expected):
    assert reason(Grounded(), answer=answer) == expected


def test_support_is_the_share_of_content_words_that_the_passage_holds():
    assert support(pair(answer="The dust and the smoke start attacks.")) == 3 / 4  # dust, smoke, start, attack
    assert support(pair(answer="")) == 0.0
    forms = "The company carried 1,000 strings to two buildings of Copper's running species."
    assert support(pair(answer="1000 string carry, building, copper, run, species, companies", passage=forms)) == 1.0


def test_order_is_the_share_of_neighbouring_words_that_a_sentence_has_in_this_order():
    assert in_order(pair(answer="London beat Paris.", passage="London beat Paris. It rained.")) == 1.0
    assert in_order(pair(answer="Paris beat London.", passage="London beat Paris. It rained.")) == 0.0
    assert in_order(pair(answer="London rained Paris", passage="London beat Paris. It rained.")) == 0.0
    assert in_order(pair(answer="Paris.", passage="London.")) == 1.0


@pytest.mark.parametrize("bounds", [(60, 3), (-1, 5)])
def test_bounds_of_lengths_are_checked(bounds):
    with pytest.raises(RecipeError, match="filters: lengths: question: is"):
        Lengths(question=bounds)


def test_words_of_scripts_without_spaces_are_counted_by_their_letters():
    assert reason(Lengths(), "铜是什么金属？", "一种金属。") is None
    assert reason(Lengths(), "铜？", "一种金属。") == "too_short"


def test_a_copy_of_an_example_is_left_out():
    shown = example("What are the signs of iron deficiency in adults?", "Tiredness and pale skin are common signs.")
    copied = pair("What are the signs of iron deficiency in adults?", examples=[shown])
    answered = pair(answer="Tiredness and pale skin are common signs.", examples=[shown])
    assert CopiedExample().reasons([copied, answered, pair(examples=[shown])]) == ["copied_example", "copied_example", None]


def test_a_copy_of_the_shown_beginning_of_an_answer_is_left_out_and_the_same_form_of_question_is_not():
    shown = example("What are the treatments for anaemia?", " ".join(f"word{number}" for number in range(90)))
    beginning = pair(answer=" ".join(f"word{number}" for number in range(30)), examples=[shown])
    form = pair("What are the treatments for asthma?", examples=[shown])
    assert CopiedExample().reasons([beginning, form]) == ["copied_example", None]


def test_a_sentence_of_the_passage_is_no_question():
    assert reason(CopiedPassage(), "Asthma narrows the airways in the lungs, which makes breathing hard.") == "copied_passage"
    assert reason(CopiedPassage()) is None
    assert reason(CopiedPassage(), "Asthma narrows the airways.") == "copied_passage"
    assert reason(CopiedPassage(), "Dust, cold air and exercise can start an attack?") == "copied_passage"
    assert reason(CopiedPassage(), "What is asthma?", passage="What is asthma? A disease.") is None
    long = "People with diabetes do not take insulin for several days in a row."
    assert reason(CopiedPassage(), f"What can happen when {long[:-1].lower()}?", passage=long) is None


def test_near_duplicates_of_a_kept_pair_are_left_out_and_the_first_stays():
    other = pair("What does asthma narrow?", "Asthma narrows the airways in the lungs.")
    nearly = pair("What does asthma narrow then?", "Asthma narrows the airways in the lungs.")
    assert NearDuplicates().reasons([pair(), other, nearly, pair()]) == [None, None, "near_duplicate", "near_duplicate"]


def test_the_jaccard_index_counts_runs_of_words():
    assert jaccard("a b c d", "a b c e") == 1 / 3
    assert jaccard("one", "one") == 1.0
    assert jaccard("", "") == 0.0


def test_what_is_kept_and_what_is_left_out_add_up():
    pairs = [pair(), pair(), pair("Why?"), pair("What is the text about?"), pair(answer="Paris is in France.")]
    kept, counts = filtered(pairs, default_chain())
    assert len(kept) + sum(counts.values()) == len(pairs)
    assert counts == {"near_duplicate": 1, "too_short": 1, "not_self_contained": 1, "not_grounded": 1}


def scoring_model(tmp_path, tiny_files, labels):
    """A random classifier with these labels, in a folder with the tiny tokenizer."""
    config = AutoConfig.for_model(
        "llama", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=1000, pad_token_id=0,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    folder = tmp_path / "judge"
    model.save_pretrained(folder)
    tiny_files.save_pretrained(folder)
    return str(folder)


def test_entailment_is_read_from_the_models_own_label(tmp_path, tiny_tokenizer):
    model = scoring_model(tmp_path, tiny_tokenizer, ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])
    assert Entailed(model=model, share=0.0001).reasons([pair()]) == [None]
    assert Entailed(model=model, share=0.9999).reasons([pair()]) == ["not_entailed"]


def test_a_model_without_entailment_is_refused(tmp_path, tiny_tokenizer):
    model = scoring_model(tmp_path, tiny_tokenizer, ["good", "bad"])
    with pytest.raises(ModelError, match=r"has no label 'entailment' \(it has good, bad\)"):
        Entailed(model=model).check()
    with pytest.raises(ModelError, match=r"filters: reward: .* has 2 outputs; a reward model has one"):
        RewardFloor(model=model).check()


def test_a_reward_below_the_floor_is_left_out(tmp_path, tiny_tokenizer):
    model = scoring_model(tmp_path, tiny_tokenizer, ["score"])
    RewardFloor(model=model).check()
    assert RewardFloor(model=model, floor=-1e9).reasons([pair()]) == [None]
    assert RewardFloor(model=model, floor=1e9).reasons([pair()]) == ["low_reward"]


def test_personal_data_in_question_or_answer_is_left_out_and_a_placeholder_is_none(known_names):
    known_names("Anna Schmidt", "Crohn")
    pairs = [
        pair(),
        pair(question="Who treats Anna Schmidt?"),
        pair(answer="Call 212-555-0187."),
        pair(answer="[PERSON_K7QF2D3A] treats Crohn's disease."),
        pair(answer="Ask at desk T-42."),
    ]
    assert PersonalData().reasons(pairs) == [None, "personal_data", "personal_data", None, None]
    assert PersonalData(kinds=["PHONE_NUMBER"]).reasons(pairs) == [None, None, "personal_data", None, None]
    own = PersonalData(keep=["anna schmidt"], patterns={"DESK": r"T-\d+"})
    assert own.reasons(pairs) == [None, None, "personal_data", None, "personal_data"]
    assert filtered(pairs, [PersonalData()])[1] == {"personal_data": 2}
    with pytest.raises(RecipeError, match="filters: personal_data: kinds: unknown kind of personal data 'EMAILS'"):
        PersonalData(kinds=["EMAILS"])
