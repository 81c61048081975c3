"""Small documents of three owners, and questions about them: what `u2s_tiny`, tests and docs write from, without a download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fedloom.data.records import Document, Provenance
from fedloom.data.rows import Row, SourceRows

ORIGIN = "tiny-documents: short texts that come with Fedloom"
LICENCES = {"tiny-documents": "Apache-2.0"}

TEXTS: Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]] = {
    "museum": (
        "science",
        {
            "Copper": ("is a soft red metal that carries heat and electricity well", "People have made tools of it for ten thousand years"),
            "Basalt": ("is a dark volcanic rock that cools quickly at the surface", "Most of the floor of the sea consists of it"),
            "Amber": ("is the hard resin of trees that died long ago", "Insects that were caught in it can still be seen"),
            "Quartz": ("is a hard mineral of silicon and oxygen", "Clocks keep time by the beat of a small crystal of it"),
            "Slate": ("is a grey rock that splits into thin flat sheets", "Roofs in many mountain towns are covered with it"),
            "Chalk": ("is a soft white rock made of very small shells", "The cliffs of Dover show a hundred metres of it"),
            "Granite": ("is a coarse rock that cools slowly deep below the ground", "Builders choose it for stairs and bridges"),
            "Mercury": ("is the one metal that is liquid in a warm room", "Old thermometers were filled with it"),
        },
    ),
    "garden": (
        "nature",
        {
            "Lavender": ("is a low shrub with purple flowers and a strong scent", "Bees visit it from June to August"),
            "Clover": ("is a small plant that feeds the soil with nitrogen", "Farmers sow it between two harvests of grain"),
            "Willow": ("is a tree that grows fast on wet ground near rivers", "Baskets are woven from its young branches"),
            "Moss": ("is a plant without roots that drinks through its leaves", "It covers stones and roofs on the north side"),
            "Rye": ("is a grain that stands cold winters and poor soil", "Dark bread is baked from its flour"),
            "Ivy": ("is a climbing plant that stays green all winter", "Birds eat its berries when nothing else is ripe"),
            "Thyme": ("is a herb with small leaves that likes dry and sunny places", "Cooks put it into soups and roasts"),
            "Birch": ("is a tree with white bark that needs a lot of light", "It is the first to grow where a forest has burned"),
        },
    ),
    "workshop": (
        "technology",
        {
            "Solder": ("is a metal that melts at low heat and joins wires", "The iron has to be clean before it is used"),
            "Plywood": ("is a board of thin layers of wood glued crosswise", "It bends less than a plank when the air gets damp"),
            "Varnish": ("is a clear coat that keeps water out of wood", "Two thin coats are better than one thick coat"),
            "Cement": ("is a grey powder that turns hard when it meets water", "Sand and gravel make concrete of it"),
            "Rivets": ("are short metal pins that hold two plates together", "Ships and bridges were built with them by the million"),
            "Glass": ("is melted sand that has cooled without crystals", "A hot oven softens it so that it can be blown"),
            "Leather": ("is the tanned skin of cattle and other animals", "Oil keeps it soft for many years"),
            "Steel": ("is iron with a little carbon that makes it hard", "A forge heats it until it glows yellow"),
        },
    ),
}
"""owner -> (domain, subject -> (what it is, a second sentence))."""


def tiny_documents() -> SourceRows:
    """A document for each subject, with its owner in `client`."""
    rows = [
        Row({"text": text, "client": owner, "file": f"{owner}/{subject.lower()}.txt", "domain": domain}, f"tiny-documents {subject}")
        for owner, domain, subject, text, _ in _texts()
    ]
    return SourceRows(rows, ORIGIN, Provenance.PUBLIC, LICENCES, reads=Document.kind)


def tiny_questions() -> SourceRows:
    """A question about each subject with the answer that its document gives, and its owner in `client`."""
    rows = [
        Row(
            {"instruction": f"What {said.split()[0]} {subject}?", "output": f"{subject} {said}.", "client": owner},
            f"tiny-questions {subject}",
        )
        for owner, _, subject, _, said in _texts()
    ]
    return SourceRows(rows, ORIGIN.replace("documents", "questions"), Provenance.PUBLIC, LICENCES)


def _texts() -> Iterator[tuple[str, str, str, str, str]]:
    """(owner, domain, subject, document, what the subject is) of every document."""
    for owner, (domain, subjects) in TEXTS.items():
        for subject, (said, more) in subjects.items():
            yield owner, domain, subject, f"{subject} {said}. {more}.", said
