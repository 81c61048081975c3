"""People in layers, shown by the command."""

from commands import error_line, fedloom
from layered_person import layers

from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.glb import write_glb


def test_a_person_is_rendered_from_all_around_and_onto_a_page(tmp_path):
    write_glb({name: PaintedLayer(mesh) for name, mesh in layers(0.06).items()}, tmp_path / "anna.glb")
    words = ("humans", "render", "anna.glb", "--out", "anna", "--views", "3", "--size", "32")
    done = fedloom(*words, "--layers", "upper,lower", "--page", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["pictures  3 in anna", "sheet  anna/sheet.png", "page  anna/page.html"]
    assert sorted(path.name for path in (tmp_path / "anna").iterdir()) == ["page.html", "sheet.png", *(f"view_0{n}.png" for n in range(3))]
    refused = fedloom(*words, "--layers", "cape", cwd=tmp_path)
    assert refused.returncode == 2
    assert error_line(refused.stderr) == "error: --layers cape: anna.glb has no such layer; it has body, hair, upper, lower, shoes"
