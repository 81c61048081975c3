"""The preference tasks as a user runs them: the real command on generated pairs, from rows to a reported result."""

import pytest
from commands import error_line, fedloom, result

SHORT = ("rounds=2", "task.learning_rate=0.02", "evaluate.every=2", "evaluate.baselines=[base]", "evaluate.samples=0")


@pytest.mark.parametrize("kind", ["dpo", "orpo", "kto"])
def test_two_rounds_on_generated_pairs_beat_the_base(kind, tmp_path):
    words = ("run", "tiny", f"task.kind={kind}", "data.source=tiny-pairs", *SHORT, "--out", kind, "--json")
    found = result(fedloom(*words, cwd=tmp_path))
    assert (found["status"], found["rounds"]) == ("finished", 2)
    assert found["metrics"]["federated/loss"] < found["metrics"]["base/loss"]
    assert (tmp_path / kind / "adapter" / "adapter_model.safetensors").is_file()


def test_a_preference_task_on_plain_rows_is_one_line(tmp_path):
    done = fedloom("run", "tiny", "task.kind=dpo", "--out", "plain", cwd=tmp_path)
    assert done.returncode == 2
    assert error_line(done.stderr).startswith("error: client 'east': task.kind: dpo needs preference pairs")
