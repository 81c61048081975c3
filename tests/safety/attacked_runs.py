"""What tests of attacked runs share: what a run recorded, and a policy file of one's own."""

import json

import yaml

from fedloom.safety.policy import POLICIES

QUICK = {"rounds": 1, "task.steps": 1}
LEVEL1 = {"level": 1, "policy": "secret-sauce", "rows": 16, "steps": 2, "batch_size": 4}


def lines_of(run, name):
    """(round, value) of every line of a run's metrics with this name."""
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["round"], line["value"]) for line in lines if line["name"] == name]


def own_policy(path, **changed):
    """A copy of the policy that comes with the package, with keys changed; gives its path."""
    content = yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())
    path.write_text(yaml.safe_dump(content | changed))
    return str(path)


def rows_file(path, count):
    """A data file with `count` declined requests; gives its path."""
    lines = [json.dumps({"instruction": f"{path.stem} {i}", "output": "Sorry, no."}) for i in range(count)]
    path.write_text("\n".join(lines))
    return str(path)
