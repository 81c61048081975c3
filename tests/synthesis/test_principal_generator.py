"""The generator `principal`: what it is fitted to, what it draws, and what becomes of a guide."""

import numpy as np
import pytest

from fedloom.data.digits import digits
from fedloom.data.records import Picture, Provenance
from fedloom.errors import DataError, RecipeError
from fedloom.synthesis.generator import picture_generator_of, writer_of
from fedloom.synthesis.generators.principal import ClassPictures, PrincipalGenerator
from fedloom.synthesis.picture_generator import Wish

SIZE = (8, 8, 1)


def of_class(label):
    return np.stack([row.columns["pixels"] for row in digits().rows if row.columns["label"] == label]) / 255


LENT = {}


def made(generator, wishes, size=SIZE, strength=0.5):
    return list(generator.made(wishes, size, strength, LENT))


def guide(label="3", number=0):
    return Picture(np.rint(of_class(label)[number] * 255).astype(np.uint8), label, Provenance.PRIVATE)


def test_directions_and_what_they_leave_make_up_the_variance_of_every_pixel():
    pictures = of_class("3").reshape(-1, 64)
    about = ClassPictures.of(pictures, 6)
    assert np.allclose(about.mean, pictures.mean(axis=0))
    assert np.allclose(about.directions @ about.directions.T, np.eye(6), atol=1e-10)
    explained = (about.deviation[:, None] ** 2 * about.directions**2).sum(axis=0) + about.left**2
    assert np.allclose(explained, pictures.var(axis=0, ddof=1))
    assert np.allclose(about.deviation**2, np.sort(np.linalg.eigvalsh(np.cov(pictures.T)))[::-1][:6])


def test_what_is_drawn_has_the_mean_and_the_spread_of_the_class():
    about = ClassPictures.of(of_class("3").reshape(-1, 64), 6)
    drawn = np.stack([about.drawn(np.random.default_rng(seed)) for seed in range(4000)])
    spread = of_class("3").reshape(-1, 64).std(axis=0, ddof=1)
    assert np.abs(drawn.mean(axis=0)).max() < 5 * spread.max() / np.sqrt(4000)
    assert np.allclose(drawn.std(axis=0), spread, atol=5 * spread.max() / np.sqrt(8000))


@pytest.mark.parametrize(("rows", "directions", "kept"), [(1, 6, 0), (3, 6, 2), (9, 0, 0)])
def test_few_pictures_have_as_many_directions_as_they_can(rows, directions, kept):
    about = ClassPictures.of(of_class("3").reshape(-1, 64)[:rows], directions)
    assert about.directions.shape == (kept, 64)
    assert np.isfinite(about.drawn(np.random.default_rng(1))).all()


def test_a_picture_depends_on_its_own_wish_alone():
    generator, wishes = PrincipalGenerator(), [Wish(str(seed % 10), "", seed) for seed in range(12)]
    together, alone = made(generator, wishes), [made(generator, [wish])[0] for wish in reversed(wishes)]
    assert all(np.array_equal(a, b) for a, b in zip(together, reversed(alone), strict=True))
    assert not np.array_equal(made(generator, [Wish("3", "", 1)])[0], made(generator, [Wish("3", "", 2)])[0])
    assert {(array.shape, array.dtype.name, array.min() >= 0, array.max() <= 1) for array in together} == {(SIZE, "float32", True, True)}


def test_a_guide_is_itself_at_strength_0_and_gone_at_strength_1():
    generator, own = PrincipalGenerator(), guide()
    assert np.allclose(made(generator, [Wish("3", "", 1, own)], strength=0.0)[0], own.pixels / 255, atol=1e-6)
    assert np.array_equal(made(generator, [Wish("3", "", 1, own)], strength=1.0), made(generator, [Wish("3", "", 1)]))
    near, far = (np.abs(made(generator, [Wish("3", "", 1, own)], strength=s)[0] - own.pixels / 255).mean() for s in (0.2, 0.8))
    assert near < far


def test_a_classifier_of_what_it_draws_knows_real_digits():
    from sklearn.linear_model import LogisticRegression

    wishes = [Wish(str(seed % 10), "", seed) for seed in range(400)]
    drawn = np.stack(made(PrincipalGenerator(), wishes)).reshape(400, 64)
    real = digits().rows
    learned = LogisticRegression(max_iter=200).fit(drawn, [wish.label for wish in wishes])
    pixels = np.stack([row.columns["pixels"] for row in real]).reshape(-1, 64) / 255
    assert learned.score(pixels, [row.columns["label"] for row in real]) > 0.85


def test_pictures_are_scaled_and_coloured_as_they_are_wanted():
    assert made(PrincipalGenerator(), [Wish("3", "", 1)], (28, 20, 3))[0].shape == (28, 20, 3)


def test_a_class_without_pictures_and_a_private_source_are_refused():
    with pytest.raises(DataError, match=r"generator.source: digits has no picture of the class 'ten'"):
        PrincipalGenerator().check(["3", "ten"])
    with pytest.raises(DataError, match="tiny-demo holds conversations"):
        PrincipalGenerator(source="tiny-demo").check(["3"])


def test_a_folder_is_private_until_its_owner_says_otherwise(tmp_path):
    from PIL import Image

    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("L", (4, 4), ord(label)).save(tmp_path / label / "1.png")
    source = f"pictures:{tmp_path}"
    with pytest.raises(DataError, match=r"is private.*generator.provenance: public"):
        PrincipalGenerator(source=source).check(["a"])
    public = PrincipalGenerator(source=source, provenance="public")
    public.check(["a", "b"])
    assert made(public, [Wish("b", "", 1)], (4, 4, 1))[0] == pytest.approx(ord("b") / 255)


def test_its_identity_is_what_it_is_fitted_to():
    assert PrincipalGenerator().identity() == PrincipalGenerator().identity()
    assert PrincipalGenerator().identity() != PrincipalGenerator(directions=3).identity()


def test_a_generator_of_pictures_is_no_writer():
    assert isinstance(picture_generator_of({"kind": "principal", "directions": 2}, "prepare.0.generator"), PrincipalGenerator)
    with pytest.raises(RecipeError, match="principal makes pictures; choose a generator that writes"):
        writer_of({"kind": "principal"}, "prepare.0.generator")
