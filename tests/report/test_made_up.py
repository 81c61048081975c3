"""Made-up rows in a report: some of each kind, the reason of those that were left out, and a damaged line named."""

import json

import fedloom
from fedloom.report.html import write_report
from fedloom.report.made_up import content
from fedloom.report.record import read_run


def test_a_report_shows_six_made_up_rows_and_the_reasons_of_those_left_out(tmp_path):
    overrides = {"rounds": 1, "task.steps": 1, "privacy": None, "evaluate.baselines": []}
    run = fedloom.run("knowledgesg_tiny", tmp_path / "run", **overrides)
    pairs = [{"messages": [{"role": "user", "content": f"What is {n} < 9?"}, {"role": "assistant", "content": "yes"}]} for n in range(12)]
    (run.folder / "synthetic.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs) + "{damaged\n")
    refused = {"messages": [{"role": "user", "content": ""}], "reason": "too_short"}
    (run.folder / "rejected.jsonl").write_text(json.dumps(refused) + "\n")
    page = write_report(run.folder).read_text()
    assert "6 rows of 12 that were made up and trained on:" in page
    assert [n for n in range(12) if f"What is {n} &lt; 9?" in page] == [0, 2, 4, 6, 8, 10]
    assert "1 row of 1 that were made up and left out:" in page
    assert "<h3>too short</h3>" in page
    assert "(empty)" in page
    assert "synthetic.jsonl:13" in page
    for name in ("synthetic.jsonl", "rejected.jsonl"):
        (run.folder / name).unlink()
    assert content(read_run(run.folder)) == []
