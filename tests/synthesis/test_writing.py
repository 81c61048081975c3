"""Writing: nothing is written twice, a killed one goes on to the same replies, budgets stop it, and private text stays."""

from dataclasses import dataclass

import pytest

from fedloom.data.records import Document, Provenance
from fedloom.errors import DiskError, PrivateDataError
from fedloom.files import cache_folder
from fedloom.synthesis.generator import Generator, Prompt, Reply
from fedloom.synthesis.generators.endpoint import EndpointGenerator
from fedloom.synthesis.generators.scripted import ScriptedGenerator
from fedloom.synthesis.generators.transformers import TransformersGenerator
from fedloom.synthesis.prompting import load_prompt
from fedloom.synthesis.writing import Budget, write

PIECES = [Document(f"Metal {n} is a soft thing of many kinds. It is {'very ' * n}old.", Provenance.PRIVATE) for n in range(7)]
PROMPTS = [load_prompt("pairs").prompt(piece, []) for piece in PIECES]
STOP = load_prompt("pairs").file.stop


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    models = cache_folder() / "models"
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    if models.is_dir():
        (tmp_path / "home" / "models").symlink_to(models)


@dataclass(frozen=True)
class Counting(Generator):
    """Gives each prompt's number, and notes what it was asked; dies at `dies_at`."""

    asked: list[int]
    dies_at: int | None = None

    def identity(self):
        return {"kind": "counting"}

    def replies(self, prompts, stop, known, lent):
        for place in range(len(prompts)):
            if place not in known:
                if place == self.dies_at:
                    raise KeyboardInterrupt
                self.asked.append(place)
                yield place, Reply(f"reply {place}", 5, 9, True)


def texts(written):
    return [reply and reply.text for reply in written.replies]


def test_what_was_written_is_not_written_again():
    first, second = Counting([]), Counting([])
    written = write(first, PROMPTS, STOP, Budget(), {})
    again = write(second, PROMPTS, STOP, Budget(), {})
    assert first.asked == list(range(7))
    assert second.asked == []
    assert texts(again) == texts(written) == [f"reply {n}" for n in range(7)]
    assert (written.known, written.tokens, written.prompt_tokens) == (0, 35, 63)
    assert (again.known, again.tokens) == (7, 0)


def test_a_killed_writing_goes_on_where_it_was():
    with pytest.raises(KeyboardInterrupt):
        write(Counting([], dies_at=3), PROMPTS, STOP, Budget(), {})
    rest = Counting([])
    assert texts(write(rest, PROMPTS, STOP, Budget(), {})) == [f"reply {n}" for n in range(7)]
    assert rest.asked == [3, 4, 5, 6]


def test_another_prompt_another_stop_and_another_generator_are_written_anew():
    write(Counting([]), PROMPTS[:1], STOP, Budget(), {})
    for prompts, stop in ((PROMPTS[1:2], STOP), (PROMPTS[:1], ["other"])):
        counting = Counting([])
        write(counting, prompts, stop, Budget(), {})
        assert counting.asked == [0]
    assert texts(write(ScriptedGenerator(), PROMPTS[:1], STOP, Budget(), {})) != ["reply 0"]


def test_a_budget_of_tokens_or_seconds_ends_the_writing_and_names_nothing_else():
    assert texts(write(Counting([]), PROMPTS, STOP, Budget(tokens=11), {})) == ["reply 0", "reply 1", "reply 2"] + [None] * 4
    assert texts(write(Counting([]), PROMPTS, STOP, Budget(seconds=1e-9), {})) == [f"reply {n}" for n in range(4)] + [None] * 3


def test_the_folder_of_what_was_written_is_its_owners_alone():
    write(Counting([]), PROMPTS, STOP, Budget(), {})
    assert (cache_folder() / "written").stat().st_mode & 0o077 == 0


def test_a_full_disk_is_one_line_and_loses_nothing(monkeypatch):
    import fedloom.synthesis.writing as writing

    write(Counting([]), PROMPTS[:2], STOP, Budget(), {})

    def full(path, record):
        raise DiskError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(writing, "append_line", full)
    with pytest.raises(DiskError, match="No space left on device"):
        write(Counting([]), PROMPTS, STOP, Budget(), {})
    monkeypatch.undo()


def test_progress_tells_how_many_and_how_fast():
    told = []
    write(Counting([]), PROMPTS[:2], STOP, Budget(), {}, lambda done, total, pace: told.append((done, total, pace)))
    assert [one[:2] for one in told] == [(0, 2), (1, 2), (2, 2)]
    assert told[-1][2].endswith(" tokens/s")


def test_a_private_prompt_is_refused_before_anything_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr("fedloom.models.endpoint.Endpoint.ask", lambda *a, **k: asked.append(a))
    generator = EndpointGenerator(url="http://192.0.2.1/v1", model="m", private_on_loopback=True)
    with pytest.raises(PrivateDataError, match=r"a private text was about to be sent to http://192\.0\.2\.1/v1"):
        write(generator, PROMPTS, STOP, Budget(), {})
    assert asked == []


def test_a_model_writes_the_same_after_a_stop_as_without_one():
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", batch_size=2, max_new_tokens=8)
    whole = texts(write(generator, PROMPTS, STOP, Budget(), {}))
    (path,) = (cache_folder() / "written").glob("*.jsonl")
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept[:3]) + "\n")
    assert texts(write(generator, PROMPTS, STOP, Budget(), {})) == whole
    assert len(path.read_text().splitlines()) == 7


def test_a_model_is_loaded_once_for_all_clients():
    lent = {}
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=2)
    write(generator, PROMPTS[:1], STOP, Budget(), lent)
    (loaded,) = lent.values()
    write(TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=2), PROMPTS[1:2], STOP, Budget(), lent)
    assert list(lent.values()) == [loaded]


def test_warm_replies_follow_their_seed():
    def said(seed):
        generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8, temperature=1.0, seed=seed)
        return texts(write(generator, PROMPTS, STOP, Budget(), {}))

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_a_prompt_of_public_text_may_go_anywhere():
    generator = EndpointGenerator(url="http://192.0.2.1/v1", model="m")
    generator.allow(Prompt.of(PROMPTS[0].turns, [Document("a", Provenance.PUBLIC), Document("b", Provenance.DP_RELEASED)]))
    for provenance in (Provenance.PRIVATE, Provenance.UNALIGNED, Provenance.SYNTHETIC):
        with pytest.raises(PrivateDataError):
            generator.allow(Prompt.of(PROMPTS[0].turns, [Document("a", Provenance.PUBLIC), Document("b", provenance)]))
