"""The summary shows numbers and names, never text of a row."""

import io

from rich.console import Console

from fedloom.data.clients import ClientData
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.summary import summary, summary_table


def client(*answers):
    rows = [Conversation((Turn("user", "secret?"), Turn("assistant", text)), Provenance.PRIVATE, {"ward": ward}) for ward, text in answers]
    return ClientData("clinic", rows[1:], rows[:1])


CLIENT = client(("a", "yes"), ("a", "yes"), ("[b]", "no thank you"), ("a", "yes"))


def test_a_row_tells_sizes_lengths_and_how_one_sided_the_answers_are():
    assert summary([CLIENT], "ward") == [
        {
            "client": "clinic",
            "train": 3,
            "held_out": 1,
            "words_per_response": 1.5,
            "majority_share": 0.75,
            "values": {"a": 3, "[b]": 1},
        }
    ]


def test_the_table_shows_no_text_of_a_row():
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(summary_table([CLIENT], "ward"))
    shown = capture.get()
    assert "clinic" in shown
    assert "75%" in shown
    assert "a (3), [b] (1)" in shown
    assert "secret" not in shown
    assert "thank" not in shown
