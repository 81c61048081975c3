"""How numbers and names are written."""

from fedloom.report.text import printable


def test_text_that_would_steer_a_terminal_is_shown_as_question_marks():
    assert printable("a\x1b[31mb\r\x07\x9b\u202ec\ud800") == "a?[31mb????c?"
    assert printable("line\nnext\tcell, ä 東 👩\u200d🔬") == "line\nnext\tcell, ä 東 👩\u200d🔬"
