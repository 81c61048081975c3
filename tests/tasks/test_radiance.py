"""The task radiance: what of a person is compared, counted and measured."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from capture_folders import around, write_capture
from PIL import Image
from scipy.ndimage import distance_transform_edt

from fedloom.data.capture_rows import UNKNOWN, cached_captures, load_captures
from fedloom.data.captures import capture_rows, read_captures
from fedloom.data.records import PARSING, Provenance
from fedloom.errors import DataError
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.models.encoders import PictureEncoder
from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.base import draw_weights
from fedloom.models.radiance.rendering import Rendered
from fedloom.privacy.row_gradients import SingleRows, row_gradients
from fedloom.recipe import FieldsRecipe
from fedloom.resolve import load_recipe
from fedloom.tasks import radiance
from fedloom.tasks.radiance import LARGEST_PSNR, RIM, STEP, Radiance, _compared, _drawn, _regular, psnr, rim_loss, split_views, spread_views

TASK = Radiance(sources=4, rays=64, samples=16)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    for number in range(2):
        write_capture(folder / f"person-{number}", around(6 + number))
    return read_captures(capture_rows(str(folder)).rows, FieldsRecipe(), Provenance.PRIVATE)


@pytest.fixture(scope="module")
def rows(people, tmp_path_factory):
    return TASK.load(TASK.encode(people, PictureEncoder(), tmp_path_factory.mktemp("rows")))


@pytest.fixture
def field():
    net = FIELD_NETWORKS["usr-field-tiny"].empty(len(PARSING))
    draw_weights(net, 3)
    return net


def losses(field, rows, indices, seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return list(TASK.losses(field, rows, indices))


def test_a_row_is_a_person_with_its_views_scaled_as_the_recipe_says(people, rows, tmp_path):
    assert [len(rows.views(number)) for number in range(len(rows))] == [6, 7]
    assert "Capture" in repr(rows)
    small = load_captures(cached_captures(people, 24, 5, tmp_path)).views(0)
    assert small.size == (24, 24)
    full = rows.views(0)
    assert torch.allclose(small.K[:, :2], full.K[:, :2] / 2)
    assert small.silhouettes[0].numpy() == pytest.approx(full.silhouettes[0, ::2, ::2].numpy() / 2, abs=1)


def test_the_loss_of_a_batch_is_the_mean_of_its_peoples(field, rows):
    apart = [float(losses(field, rows, [row])[0].each().detach()[0]) for row in (0, 1)]
    first = losses(field, rows, [0, 1])[0]
    assert float(first.loss.detach()) == pytest.approx(apart[0] / 2)
    assert first.each().shape == (1,)
    assert first.tokens == 64


def test_the_loss_of_a_view_is_that_of_the_formula(rows):
    """10 L2(colours) + .3 BCE(mask) + .1 NLL(classes): by NumPy, for three pixels: background, person, and person of an unknown class."""
    views = rows.views(0)
    inside = (views.masks[0] > 0).nonzero()[[0, 40]]
    pixels = torch.cat([torch.tensor([[0, 0]]), inside.flip(1)])
    views = replace(views, parsing=views.parsing.clone())
    views.parsing[0, inside[1, 0], inside[1, 1]] = UNKNOWN
    colours, mask = torch.tensor([[0.1, 0.0, 0.2], [0.5, 0.6, 0.7], [0.9, 0.1, 0.3]]), torch.tensor([0.2, 0.9, 0.6])
    classes = torch.tensor([[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]] * 3)
    seen = Rendered(colours, classes, mask, torch.zeros(3), torch.zeros(3, 3))
    true = np.stack([views.pictures[0, :, row, column].numpy() for column, row in pixels.tolist()])
    number = int(views.parsing[0, inside[0, 0], inside[0, 1]])
    expected = 10 * np.mean((colours.numpy() - true) ** 2) - 0.3 * (math.log(0.8) + math.log(0.9) + math.log(0.6)) / 3
    expected -= 0.1 * math.log(float(classes[1, number]))  # one pixel's class is known
    assert _compared(seen, views, 0, pixels).item() == pytest.approx(expected, rel=1e-5)


def test_the_surface_is_asked_for_a_slope_of_one_and_for_no_bends():
    """Twice the distance to a ball of .3 m: the slope is 2, and the Laplacian 4 / r, over a step of .01 m."""

    class Ball:
        def sdf(self, points):
            return 2 * (points.norm(dim=1) - 0.3)

    around = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(1)), dim=1) * 0.3
    seen = Rendered(torch.zeros(20, 3), torch.zeros(20, 6), torch.ones(20), torch.zeros(20), around)
    assert _regular(Ball(), seen).item() == pytest.approx(0.02 * (2 - 1) ** 2 + 0.002 * STEP * 4 / 0.3, rel=0.02)
    missed = replace(seen, mask=torch.zeros(20))
    assert _regular(Ball(), missed).item() == 0


def test_the_same_stream_draws_the_same_rays_and_another_draws_others(field, rows):
    assert torch.equal(losses(field, rows, [0])[0].loss, losses(field, rows, [0])[0].loss)
    assert not torch.equal(losses(field, rows, [0])[0].loss, losses(field, rows, [0], seed=2)[0].loss)


def test_weights_begin_small():
    """.4 of He's standard deviation, that of the last convolution in space: 12 x 27 of its numbers each input goes into."""
    net = FIELD_NETWORKS["usr-field"].empty(len(PARSING))
    draw_weights(net, 3)
    assert net.hull_encoder.last.weight.std().item() == pytest.approx(0.4 * math.sqrt(2 / (12 * 27)), rel=0.03)
    assert net.token[2].weight.std().item() == pytest.approx(0.4 * math.sqrt(2 / 24), rel=0.1)


def test_every_trained_tensor_gets_a_gradient(field, rows):
    torch.nn.init.normal_(field.head.weight, std=0.1)
    losses(field, rows, [0])[0].loss.backward()
    assert {name for name, weight in field.named_parameters() if weight.grad is None or not weight.grad.abs().sum()} == set()


def test_a_few_steps_make_unseen_views_of_the_person_better(field, rows):
    def measured():
        return TASK.values(TASK.evaluate(field, rows, [0, 1], 8))

    before = measured()
    assert before["miou"] > 0.5
    optimizer = torch.optim.Adam(field.parameters(), lr=5e-3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for number in range(12):
            optimizer.zero_grad()
            next(iter(TASK.losses(field, rows, [number % 2]))).loss.backward()
            optimizer.step()
    after = measured()
    assert after["loss"] < before["loss"]
    assert after["psnr_foreground"] > before["psnr_foreground"]


def test_measures_come_of_sums_that_add_up_over_clients(field, rows):
    sums = TASK.evaluate(field, rows, [0, 1], 8)
    assert set(sums) == set(TASK.sum_names)
    assert (sums["rows"], sums["terms"]) == (2, 5)  # of six views two are no source, of seven three
    assert TASK.plausible(sums)
    assert not TASK.plausible(sums | {"intersection/3": sums["union/3"] + 1})
    assert not TASK.plausible(sums | {"psnr": 1e4})
    by_hand = {"rows": 1.0, "terms": 2.0, "psnr": 50.0, "psnr_foreground": 40.0, "loss": 0.5}
    areas = {f"{kind}/{n}": float(value) for kind, values in (("intersection", (0, 0, 6, 3, 0)), ("union", (0, 0, 8, 4, 2)))
             for n, value in enumerate(values, start=1)}  # fmt: skip
    assert TASK.values(by_hand | areas) == {"psnr": 25.0, "psnr_foreground": 20.0, "loss": 0.25, "miou": 0.5}


def test_sums_of_each_person_add_up_to_the_sums_of_all(field, people, rows, tmp_path):
    whole = TASK.evaluate(field, rows, [0, 1], 8)
    parts = [TASK.evaluate(field, TASK.load(TASK.encode([one], PictureEncoder(), tmp_path)), [0], 8) for one in people]
    assert {name: parts[0][name] + parts[1][name] for name in whole} == pytest.approx(whole)


def test_the_gradient_of_a_row_is_that_of_a_batch_of_that_row_alone(rows):
    bench = make_bench(bench_plan(load_recipe("usr_tiny")))
    with row_gradients(bench.model, bench.parameters) as way, torch.random.fork_rng():
        assert isinstance(way, SingleRows)
        torch.manual_seed(1)
        of_rows = [found.clone() for found, _ in way.of(TASK, rows, [0, 1])]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for row, found in zip((0, 1), of_rows, strict=True):
            bench.model.zero_grad()
            (part,) = TASK.losses(bench.model, rows, [row])
            part.loss.backward()
            plain = {name: weight.grad.flatten() for name, weight in bench.model.named_parameters()}
            for name, (start, end, _) in bench.parameters.layout.slices.items():
                assert torch.allclose(found[0, start:end], plain[name], atol=1e-6), name


def test_psnr_is_ten_times_the_logarithm_of_one_over_the_squared_error():
    assert psnr(torch.tensor(0.01)) == pytest.approx(20.0)
    assert psnr(torch.tensor(0.0)) == LARGEST_PSNR
    assert psnr(torch.tensor(math.nan)) == LARGEST_PSNR


def test_sources_are_spread_around_the_person_and_drawn():
    """Of eight cameras on a circle, four: mostly every second one or nearly so, never four in a row, and all of them by and by."""
    angles = 2 * math.pi * torch.arange(8) / 8
    centres = torch.stack([angles.cos(), angles.sin(), torch.zeros(8)], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = [sorted(spread_views(centres, 4)) for _ in range(200)]
        assert sorted(spread_views(torch.zeros(5, 3), 5)) == [0, 1, 2, 3, 4]
    gaps = [max((after - before) % 8 for before, after in zip(chosen, chosen[1:] + chosen[:1], strict=True)) for chosen in found]
    assert max(gaps) <= 4
    assert sum(gap == 2 for gap in gaps) > 20
    assert len({tuple(chosen) for chosen in found}) > 10
    assert {view for chosen in found for view in set(range(8)) - set(chosen)} == set(range(8))
    across = [spread_views(centres, 2) for _ in range(200)]
    assert {(first - second) % 8 for first, second in across} <= {2, 3, 4, 5, 6}
    assert {first for first, _ in across} == set(range(8))


def test_a_step_compares_another_view_than_the_sources_and_the_rim_of_one_of_them(field, rows, monkeypatch):
    calls = []

    def told(name):
        return lambda scene, views, view, rays, samples: calls.append((name, scene, view, rays, samples)) or torch.tensor(float(len(calls)))

    monkeypatch.setattr(radiance, "view_loss", told("view"))
    monkeypatch.setattr(radiance, "rim_loss", told("rim"))
    views, targets, rims = rows.views(0), set(), set()
    for seed in range(12):
        calls.clear()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            assert TASK._loss(field, views) == 1 + 2
            torch.manual_seed(seed)
            sources = spread_views(views.centres, 4)
        (one, scene, target, *asked), (other, same, rim, *asked_of_rim) = calls
        assert (one, asked, other, asked_of_rim) == ("view", [64, 16], "rim", [16, 16])
        assert scene is same
        assert torch.equal(scene.views.t, views.chosen(sources).t)
        assert target not in sources
        assert rim == sources[0]
        targets.add(target)
        rims.add(rim)
    assert len(targets) > 2
    assert len(rims) > 2


def test_a_person_who_fills_the_picture_has_no_rim(field, rows):
    views = rows.views(0)
    full = replace(views, silhouettes=torch.full_like(views.silhouettes, -48.0))
    with torch.no_grad():
        assert rim_loss(field.scene(views.chosen([0, 2, 4])), full, 0, 16, 8) == 0


def test_the_rim_of_a_source_is_held_to_its_mask(field, rows):
    """Pixels within 3 of the edge, by SciPy; of a person who is seen nowhere, -.6 log of 1e-4 in the mask and of 1 - 1e-4 beside it."""
    views = rows.views(0)
    rim = _drawn(views.silhouettes[0].abs() < RIM, 20_000)
    mask = views.masks[0].numpy() > 0
    away = np.where(mask, distance_transform_edt(mask), distance_transform_edt(~mask)) - 0.5
    assert {tuple(pixel) for pixel in rim.tolist()} == {(column, row) for row, column in np.argwhere(away < 3)}
    with torch.no_grad():
        scene = field.scene(views.chosen([0, 2, 4]))

    class Nobody:
        near, sharpness, looks = scene.near, scene.sharpness, scene.looks

        def sdf(self, points):
            return torch.ones(len(points))

    with torch.no_grad():
        found = float(rim_loss(Nobody(), views, 0, 4000, 8))
    share = np.mean(mask[away < 3])
    assert found == pytest.approx(-0.6 * (share * math.log(1e-4) + (1 - share) * math.log(1 - 1e-4)), rel=0.1)


def test_sources_are_spread_over_all_views_and_what_is_compared_is_none_of_them():
    assert split_views(16, 6, 4) == ([0, 2, 5, 8, 10, 13], [1, 4, 9, 12])
    assert split_views(7, 6, 4) == ([0, 1, 2, 3, 4, 5], [6])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / "mask0.png").write_bytes(b"no picture"), r"mask0\.png: is not a picture that can be read"),
        (lambda folder: resize(folder / "image0.png"), r"image0\.png: is 20 x 20 pixels, and its camera is for 48 x 48"),
        (lambda folder: resize(folder / "mask0.png"), r"mask0\.png: is 20 x 20 pixels, and its picture is 48 x 48"),
        (lambda folder: filled(folder / "parsing0.png", 9), r"parsing0\.png: should hold the number of a class in every pixel, 0 to 5"),
    ],
)
def test_files_that_do_not_fit_are_named_in_one_line(tmp_path, spoil, problem):
    write_capture(tmp_path / "people" / "ann", around(5))
    spoil(tmp_path / "people" / "ann")
    with pytest.raises(DataError, match=problem):
        TASK.encode(
            read_captures(capture_rows(str(tmp_path / "people")).rows, FieldsRecipe(), Provenance.PRIVATE), PictureEncoder(), tmp_path
        )


def test_too_few_views_and_a_missing_mask_say_what_to_do(people, tmp_path):
    with pytest.raises(DataError, match=r"person-0: has 6 views; 8 at least are needed"):
        Radiance(sources=7).encode(people, PictureEncoder(), tmp_path)
    bare = [replace(people[0], views=tuple(replace(view, mask=None) for view in people[0].views))]
    with pytest.raises(DataError, match=r"image0\.png: has no mask of the person; make one with `fedloom humans capture import"):
        TASK.encode(bare, PictureEncoder(), tmp_path)


def resize(path):
    Image.open(path).resize((20, 20)).save(path)


def filled(path, number):
    Image.fromarray(np.full((48, 48), number, np.uint8)).save(path)
