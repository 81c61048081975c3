"""Writing: nothing is written twice, a killed one goes on to the same replies, budgets stop it, and private text stays."""

import json
from dataclasses import dataclass

import pytest

from fedloom.data.records import Document, Provenance, Turn
from fedloom.errors import DiskError, PrivateDataError
from fedloom.files import append_line, cache_folder, read_lines
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
    """Gives each prompt's number, by the `order` of its own, and notes what it was asked; dies at `dies_at`."""

    asked: list[int]
    dies_at: int | None = None
    order: int = 1

    def identity(self):
        return {"kind": "counting"}

    def replies(self, prompts, stop, known, lent):
        for place in range(len(prompts))[:: self.order]:
            if place not in known:
                if place == self.dies_at:
                    raise KeyboardInterrupt
                self.asked.append(place)
                yield place, Reply(f"reply {place}", 5, 9, True)


def texts(written):
    return [reply and reply.text for reply in written.replies]


def kept():
    """The file of what was written."""
    (path,) = (cache_folder() / "written").glob("*.jsonl")
    return path


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


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("budget", [Budget(tokens=11), Budget(seconds=1e-9)])
def test_a_budget_gives_the_same_replies_every_time_and_the_second_is_free(budget, order):
    fit = range(7)[::order][: 3 if budget.tokens else 1]
    expected = [f"reply {n}" if n in fit else None for n in range(7)]
    written = write(Counting([], order=order), PROMPTS, STOP, budget, {})
    assert texts(written) == expected
    for _ in range(3):
        again = Counting([], order=order)
        found = write(again, PROMPTS, STOP, budget, {})
        assert (texts(found), again.asked, found.known, found.tokens, found.seconds) == (expected, [], len(fit), 0, 0.0)
    assert None not in texts(write(Counting([], order=order), PROMPTS, STOP, Budget(), {}))
    assert texts(write(Counting([], order=order), PROMPTS, STOP, budget, {})) == expected


def test_a_budget_pays_for_what_was_written_before_and_by_a_killed_writing():
    with pytest.raises(KeyboardInterrupt):
        write(Counting([], dies_at=2), PROMPTS, STOP, Budget(tokens=16), {})
    write(Counting([]), PROMPTS[5:], STOP, Budget(), {})
    rest = Counting([])
    expected = ["reply 0", "reply 1", None, None, None, "reply 0", "reply 1"]  # four of five tokens each
    assert texts(write(rest, PROMPTS, STOP, Budget(tokens=16), {})) == expected
    assert rest.asked == []
    assert texts(write(rest, PROMPTS, STOP, Budget(tokens=21), {})) == [*expected[:2], "reply 2", *expected[3:]]
    assert rest.asked == [2]


def test_what_is_on_disk_is_what_a_writing_gives_whoever_wrote_it():
    class Slow(Counting):
        def replies(self, prompts, stop, known, lent):
            for place, reply in super().replies(prompts, stop, known, lent):
                if place == 1:  # another process was faster
                    append_line(kept(), read_lines(kept())[0] | {"key": keys[1], "text": "another"})
                yield place, reply

    write(Counting([]), PROMPTS[:2], STOP, Budget(), {})
    keys = [line["key"] for line in read_lines(kept())]
    kept().unlink()
    assert texts(write(Slow([]), PROMPTS[:3], STOP, Budget(), {})) == ["reply 0", "another", "reply 2"]
    assert texts(write(Counting([]), PROMPTS[:3], STOP, Budget(), {})) == ["reply 0", "another", "reply 2"]


@pytest.mark.parametrize("damaged", ['{"key": "', "\0\0", "[]", "5", '{"key": 1}', "[" * 20_000, '{"te\n{"key": "x"}'])
def test_a_damaged_line_is_written_again_and_stops_nothing(damaged):
    write(Counting([]), PROMPTS, STOP, Budget(), {})
    lines = kept().read_text().splitlines()
    kept().write_text("\n".join([*lines[:2], damaged, *lines[3:]]) + "\n")
    again = Counting([])
    assert texts(write(again, PROMPTS, STOP, Budget(), {})) == [f"reply {n}" for n in range(7)]
    assert again.asked == [2]


def test_what_an_earlier_version_kept_without_its_seconds_is_still_known():
    prompt = Prompt.of([Turn("user", "What is tin?")], [], "Tin")
    write(Counting([]), [prompt], ["END"], Budget(), {})
    (line,) = read_lines(kept())
    assert line["key"] == "1025eb85d9c4541d87e28a6bbee86fc4f48938e2ffe68e180165c2c0950bef02"
    assert line.pop("seconds") >= 0
    kept().write_text(json.dumps(line) + "\n")
    again = Counting([])
    write(again, [prompt], ["END"], Budget(), {})
    assert again.asked == []


def test_what_was_written_is_its_owners_alone_even_in_a_folder_that_was_open():
    folder = cache_folder() / "written"
    folder.mkdir(mode=0o755)
    write(Counting([]), PROMPTS, STOP, Budget(), {})
    kept().chmod(0o644)
    folder.chmod(0o755)
    write(Counting([]), PROMPTS, STOP, Budget(), {})
    assert (folder.stat().st_mode & 0o777, kept().stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_new_file_is_its_owners_alone_before_anything_is_in_it(monkeypatch):
    modes = []
    monkeypatch.setattr("fedloom.synthesis.writing.append_line", lambda path, _: modes.append(path.stat().st_mode & 0o777))
    write(Counting([]), PROMPTS, STOP, Budget(), {})
    assert set(modes) == {0o600}
    assert (cache_folder() / "written").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_one_line_and_loses_nothing(monkeypatch):
    write(Counting([]), PROMPTS[:2], STOP, Budget(), {})

    def full(path, record):
        raise DiskError(f"{path}: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fedloom.synthesis.writing.append_line", full)
        with pytest.raises(DiskError, match="No space left on device"):
            write(Counting([]), PROMPTS, STOP, Budget(), {})
    assert [line["text"] for line in read_lines(kept())] == ["reply 0", "reply 1"]
    rest = Counting([])
    assert texts(write(rest, PROMPTS, STOP, Budget(), {})) == [f"reply {n}" for n in range(7)]
    assert rest.asked == [2, 3, 4, 5, 6]


def test_replies_that_a_server_writes_when_the_budget_ends_are_kept_and_no_other_is_begun(serve):
    server = serve(lambda turns: "Question: a?\nAnswer: b.", usage={"completion_tokens": 5}, seconds=0.05)
    generator = EndpointGenerator(url=server.url, model="m", private_on_loopback=True, at_once=3)
    written = write(generator, PROMPTS, STOP, Budget(tokens=1), {})
    assert len(server.asked) == len(read_lines(kept())) == 3
    assert sum(reply is not None for reply in written.replies) == 1
    assert written.tokens == 15
    assert texts(write(generator, PROMPTS, STOP, Budget(tokens=1), {})) == texts(written)
    assert None not in texts(write(generator, PROMPTS, STOP, Budget(), {}))
    assert len(server.asked) == 7


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
    lines = kept().read_text().splitlines()
    kept().write_text("\n".join(lines[:3]) + "\n")
    assert texts(write(generator, PROMPTS, STOP, Budget(), {})) == whole
    assert len(kept().read_text().splitlines()) == 7


def test_warm_replies_to_prompts_that_repeat_stay_the_same():
    generator = TransformersGenerator(model="tiny-llama", dtype="float32", max_new_tokens=8, temperature=1.0)
    asked = [PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]]
    said = texts(write(generator, asked, STOP, Budget(), {}))
    assert len(set(said)) == 4
    assert texts(write(generator, asked, STOP, Budget(), {})) == said
    assert texts(write(generator, asked[:1], STOP, Budget(), {})) == said[:1]
    lines = kept().read_text().splitlines()
    kept().write_text("\n".join(lines[:2]) + "\n")
    assert texts(write(generator, asked, STOP, Budget(), {})) == said


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
