"""`fedloom evaluate` and `fedloom bench run`, as they are typed."""

import json

from commands import error_line, fedloom, result

ROWS = [{"question": "What is two and two?", "answer": "four"}, {"question": "Name a colour.", "answer": "red"}]


def test_a_run_is_asked_beside_its_base_and_shown_with_intervals(desk, finished):
    run, _ = finished
    (desk / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = ("evaluate", run, "--suite", "questions", "questions.source=q.jsonl", "questions.max_new_tokens=4", "--out", desk / "asked")
    shown = fedloom(*words, cwd=desk)
    assert shown.returncode == 0, shown.stderr
    assert "questions, 2 rows" in shown.stdout
    assert "0.0% [-69.3%, 69.3%] not told apart" in shown.stdout
    (found,) = result(fedloom(*words, "--json", cwd=desk))["results"]
    assert list(found["systems"]) == ["base", "tuned"]
    assert json.loads((desk / "asked" / "questions.json").read_text()) == found


def test_suites_are_listed_and_what_is_wrong_is_one_line(desk, finished):
    run, _ = finished
    listed = fedloom("evaluate", cwd=desk)
    assert {"questions", "gsm8k", "mt_bench", "advbench"} <= set(listed.stdout.split())
    assert error_line(fedloom("evaluate", run, "--suite", "gsm8", cwd=desk).stderr) == "error: unknown suite 'gsm8'; did you mean 'gsm8k'?"
    assert (
        error_line(fedloom("evaluate", "--suite", "gsm8k", cwd=desk).stderr)
        == "error: evaluate: name a run folder or a model before --suite"
    )


def test_methods_and_seeds_end_in_one_table_and_the_same_command_goes_on(desk):
    words = (
        "bench",
        "run",
        "tiny",
        "--methods",
        "local,fedavg,fedadam",
        "--seeds",
        "1,2",
        "--out",
        "study",
        "rounds=1",
        "evaluate.samples=0",
    )
    done = fedloom(*words, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[1:3] for line in (desk / "study" / "sweep.md").read_text().splitlines()[2:7]] == [
        [" federated ", " fedavg "],
        [" federated ", " fedadam "],
        [" base model ", " – "],
        [" each client alone ", " – "],
        [" each client alone, own rows ", " – "],
    ]
    caption = "\\caption{Sweep (mean $\\pm$ standard deviation over seeds; bold: best federated)}"
    assert caption in (desk / "study" / "sweep.tex").read_text().splitlines()
    assert fedloom(*words, cwd=desk).stderr.count(": kept") == 4
