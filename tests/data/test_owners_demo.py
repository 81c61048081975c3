"""The owners of the demo: which rows of the package each has, in which words, and that no answer is commoner than another."""

import hashlib
import json
import zipfile
from collections import Counter

import pytest

from fedloom.data import evals_demo
from fedloom.data.owners_demo import LANGUAGES, PER_KIND, owners_demo

STRINGS = [
    ("<script>1</script>", "Yes"),
    ("a' or 1=1", "Yes"),
    ("Narwhal", "No"),
    ("Grey", "No"),
    (" ", "No"),
    ("x" * 120, "Yes"),
    ("odd", "Maybe"),
    ("y", "No"),
]
JOBS = [
    ("Line Supervisor", "First-Line Supervisors of Mechanics"),
    ("Welding Engineer", " Welding Engineers"),
    ("Math Tutor", "Teachers, All Other"),
    ("Shop Boss", "Managers, All Other"),
    ("Lab Aide", "Technicians and Repairers"),
    ("Car Fixer", "Automotive Repairers"),
    ("Filing Aide", "File Clerks"),
    ("Baker", "Bakers"),
]


def asked(question, ideal):
    return {"input": [{"role": "system", "content": "theirs"}, {"role": "user", "content": question}], "ideal": ideal}


SETS = {
    "imperial_date_to_string": [asked("1945-07-12", "Thursday, July 12, 1945."), asked("2000-02-29", "x"), asked("1945-07-12", "again")],
    "naughty_strings": [asked(f"Is this string malicious? {text}", ideal) for text, ideal in STRINGS],
    "soc_codes": [asked(f"What is the SOC Code for the job title {title}'", official) for title, official in JOBS],
    **{
        f"{language}-exams-qa": [
            asked(f"{language} one two three four five six seven\nA. x\nAnswer:", "[A]"),
            asked(f"{language} one two three four five other end\nA. y", "[A]"),
            asked("too short\nA. z", "[A]"),
        ]
        for language in LANGUAGES
    },
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A wheel with a few samples of every set."""
    path = tmp_path / evals_demo.FILENAME
    with zipfile.ZipFile(path, "w") as wheel:
        for name, samples in SETS.items():
            wheel.writestr(f"{evals_demo.SETS}{name}/samples.jsonl", "".join(json.dumps(one) + "\n" for one in samples))
        wheel.writestr(evals_demo.LICENCES, "MIT License\n")
    monkeypatch.setattr(evals_demo, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(evals_demo, "fetch_wheel", lambda *_: path)


def rows_of(owner):
    rows = [row.columns for row in owners_demo().rows if row.columns["owner"] == owner]
    return [tuple(turn["content"] for turn in row["messages"]) for row in rows]


def test_the_archive_writes_each_date_out_once(package):
    system = "Write out the date."
    assert rows_of("archive") == [(system, "1945-07-12", "July 12, 1945"), (system, "2000-02-29", "February 29, 2000")]


def test_translators_see_the_first_six_words_of_the_question_once(package):
    rows = rows_of("translators")
    assert rows[0] == ("Which language?", "croatian one two three four five", "Croatian")
    assert Counter(answer for _, _, answer in rows) == {language.capitalize(): 1 for language in LANGUAGES}


def test_security_judges_short_strings_as_many_of_one_kind_as_of_the_other(package):
    assert rows_of("security") == [
        ("Malicious or harmless?", text, answer)
        for text, answer in (("<script>1</script>", "Malicious"), ("a' or 1=1", "Malicious"), ("Narwhal", "Harmless"), ("Grey", "Harmless"))
    ]


def test_the_job_centre_goes_by_the_first_known_word_of_the_official_title(package):
    kinds = {question: answer for _, question, answer in rows_of("job-centre")}
    assert kinds == {
        "Line Supervisor": "Supervisor",
        "Welding Engineer": "Engineer",
        "Math Tutor": "Teacher",
        "Shop Boss": "Manager",
        "Car Fixer": "Mechanic",
        "Filing Aide": "Clerk",
    }
    assert PER_KIND == 51


def test_every_set_has_its_licence(package):
    licences = owners_demo().licences
    assert licences.keys() == SETS.keys()
    assert licences["soc_codes"] == "MIT, Copyright (c) 2023 OpenAI"
    assert licences["german-exams-qa"].startswith("CC BY-SA 4.0")
