"""What rays see: weights by hand, and a ball whose hull is already the surface."""

import copy
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, relu

from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.base import draw_weights
from fedloom.models.radiance.encoder import encoder_input
from fedloom.models.radiance.hull import hull_distance, silhouette_distances
from fedloom.models.radiance.projection import looked_up, seen
from fedloom.models.radiance.rays import rays_through
from fedloom.models.radiance.rendering import render, surface_weights


@pytest.fixture(scope="module")
def field():
    net = FIELD_NETWORKS["usr-field-tiny"].empty(6)
    draw_weights(net, 3)
    return net


def test_weights_are_those_of_the_formula():
    phi = [1 / (1 + math.exp(-10 * sdf)) for sdf in (0.3, 0.1, -0.1, -0.05)]
    first, second = 1 - phi[1] / phi[0], 1 - phi[2] / phi[1]
    found = surface_weights(torch.tensor([[0.3, 0.1, -0.1, -0.05]]), torch.tensor([10.0]))[0].tolist()
    assert found == pytest.approx([first, (1 - first) * second, 0.0], abs=1e-6)


def test_a_sharp_surface_has_its_weight_in_the_section_that_crosses_it_and_is_met_once():
    sdf = torch.tensor([[0.2, 0.1, -0.1, -0.2, 0.1, -0.1]])
    assert surface_weights(sdf, torch.tensor([500.0]))[0].tolist() == pytest.approx([0, 1, 0, 0, 0], abs=1e-4)


def test_before_any_training_the_surface_is_the_hull_and_shows_what_the_views_show(field, views):
    with torch.no_grad():
        scene = field.scene(views.chosen([0, 2, 4, 6]))
        points = torch.rand(50, 3, generator=torch.Generator().manual_seed(2)) * 0.5 - 0.25
        assert torch.equal(scene.sdf(points), hull_distance(scene.views, points))
        seen = render(scene, rays_through(views, 1, torch.tensor([[24, 14], [24, 34], [0, 0]])), 64, even=True)
    red, blue = torch.tensor([200, 40, 40]) / 255, torch.tensor([40, 40, 200]) / 255
    assert seen.mask.tolist() == pytest.approx([1, 1, 0], abs=0.02)
    assert torch.allclose(seen.colours[0], red, atol=0.05)
    assert torch.allclose(seen.colours[1], blue, atol=0.05)
    assert seen.classes[:2].argmax(dim=1).tolist() == [3, 4]
    assert seen.classes.sum(dim=1).tolist() == pytest.approx(seen.mask.tolist(), abs=1e-4)
    assert float(seen.surface[0].norm()) == pytest.approx(0.425, abs=0.04)


def test_colours_and_classes_are_blended_with_the_same_weights(field, views):
    """Colours that repeat the classes stay equal to them, wherever the views disagree."""
    scene = field.scene(views.chosen([0, 3, 5]))
    mask, classes = scene.shown[:, :1], scene.shown[:, 4:]
    scene = replace(scene, shown=torch.cat([mask, classes[:, 3:6], classes], dim=1))
    points = torch.rand(30, 3, generator=torch.Generator().manual_seed(2)) * 0.4 - 0.2
    along = torch.tensor([[1.0, 0.0, 0.0]]).expand(30, 3)
    looks = scene.looks(points, along)
    assert torch.allclose(looks[:, :3], looks[:, 6:9], atol=1e-6)
    assert looks[:, 3:].sum(dim=1).tolist() == pytest.approx([1.0] * 30, abs=1e-5)


def test_the_distance_is_that_of_mean_and_variance_over_the_views(field, views):
    """Weights over views are a softmax of what each token says of itself; the rest is NumPy, one point at a time."""
    net = copy.deepcopy(field)
    with torch.no_grad():
        net.head.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(4))
        scene = net.scene(views.chosen([0, 3, 5]))
        points = torch.rand(5, 3, generator=torch.Generator().manual_seed(2)) * 0.4 - 0.2
        found = net.geometry(scene, points)
        for number, point in enumerate(points):
            tokens = found.tokens[:, :, number].numpy()
            scores = net.weight(found.tokens[:, :, number])[:, 0].numpy()
            weights = np.exp(scores) / np.exp(scores).sum()
            mean = (weights[:, None] * tokens).sum(axis=0)
            variance = (weights[:, None] * (tokens - mean) ** 2).sum(axis=0)
            hull = hull_distance(scene.views, point[None])
            of_views = torch.from_numpy(np.concatenate([mean, variance])).float()
            joined = net.joined(torch.cat([of_views, hull / 0.1, scene.shape.at(point[None])[:, 0]])[None])
            expected = hull + 0.1 * torch.tanh(net.head(joined)[0])
            assert found.sdf[number].item() == pytest.approx(expected.item(), abs=1e-5)


def test_tokens_and_looks_are_those_of_the_layers_over_all_that_is_known(field, views):
    """The field applies parts of its layers where there is less to do; here each layer is asked about everything at once."""
    with torch.no_grad():
        scene = field.scene(views.chosen([0, 3, 5]))
        points = torch.rand(30, 3, generator=torch.Generator().manual_seed(2)) * 1.6 - 0.8
        rays = normalize(torch.randn(30, 3, generator=torch.Generator().manual_seed(3)))
        found = field.geometry(scene, points)
        cut = [scene.windows.cut(maps) for maps in (scene.views.pictures, scene.views.masks[:, None])]
        features = looked_up(field.encoder(encoder_input(cut[0], cut[1][:, 0])), found.places)
        where = seen(scene.views, points)
        away = normalize(points - scene.views.centres[:, None], dim=2).transpose(1, 2)
        silhouettes = silhouette_distances(scene.views, where) / 0.1
        known = torch.stack([silhouettes, torch.tanh(found.behind / 0.05), (found.behind > 0.1).float(), found.inside.float()], dim=1)
        one = torch.ones(3, 1, 30)
        told = torch.cat([features, looked_up(scene.views.pictures, where.places), away, known, one], dim=1)
        assert torch.allclose(found.tokens, field.token(told.transpose(1, 2)).transpose(1, 2), atol=1e-5)
        cosines = (away * rays.T).sum(dim=1)
        beside = torch.stack([cosines, torch.tanh(found.behind / 0.05)], dim=1)
        told = torch.cat([found.tokens, found.common.expand(3, -1, -1), beside], dim=1)
        outside = ~where.inside[:, :, None]
        assert 10 < outside.sum() < 60
        weights = field.blend_out(relu(field.blend_in(told.transpose(1, 2)))).masked_fill(outside, -30.0).softmax(dim=0)
        shown = (weights * looked_up(scene.shown, found.places).transpose(1, 2)).sum(dim=0)
        assert torch.allclose(scene.looks(points, rays), shown[:, 1:] / shown[:, :1].clamp(min=0.02), atol=1e-5)


def test_looks_depend_on_the_rays_direction_and_on_how_far_behind_the_hull_a_view_has_the_point(field, views):
    with torch.no_grad():
        scene = field.scene(views.chosen([0, 3, 5]))
        points = torch.rand(30, 3, generator=torch.Generator().manual_seed(2)) * 0.4 - 0.2
        geometry = field.geometry(scene, points)
        there, back = (torch.tensor([[x, 0.0, 0.0]]).expand(30, 3) for x in (1.0, -1.0))
        looks = field.appearance(scene, there, geometry)
        assert not torch.allclose(looks, field.appearance(scene, back, geometry), atol=1e-4)
        on_hull, hidden = (replace(geometry, behind=torch.tensor([[0.0], [way], [0.0]]).expand(3, 30)) for way in (0.0, 0.1))
        of_both = [field.appearance(scene, there, one) for one in (on_hull, hidden)]
        assert not torch.allclose(*of_both, atol=1e-4)
        edge = scene.hull.points()[scene.hull.distances.flatten().abs() < 0.01]
        one, other = (field.geometry(known, edge) for known in (scene, replace(scene, depths=scene.depths - 0.05)))
        assert torch.allclose(other.behind, one.behind + 0.05, atol=1e-5)
        assert not torch.allclose(other.tokens, one.tokens, atol=1e-4)


def test_gradients_of_the_field_are_those_of_differences(field, views):
    """Of every trained tensor along a drawn direction, in double precision."""
    net = copy.deepcopy(field).double().requires_grad_(True)
    with torch.no_grad():
        for weight in [
            net.head.weight,
            *(one for one in net.parameters() if one.dim() == 1),
        ]:  # ReLUs stand at 0 where the picture is black
            weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(4))
    doubled = type(views)(
        **{one.name: value.double() if (value := getattr(views, one.name)).is_floating_point() else value for one in fields(views)}
    )
    scene = net.scene(doubled.chosen([0, 2, 5]))
    points = (torch.rand(20, 3, generator=torch.Generator().manual_seed(2)) * 0.4 - 0.2).double()
    along = torch.tensor([[0.6, 0.8, 0.0]]).double().expand(20, 3)

    def loss():
        inside = net.scene(scene.views)
        geometry = net.geometry(inside, points)
        return geometry.sdf.square().sum() + net.appearance(inside, along, geometry).square().sum()

    loss().backward()
    for name, weight in net.named_parameters():
        if name == "sharpening":
            continue
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)).double()
        with torch.no_grad():
            weight += 1e-6 * direction
            above = loss()
            weight -= 2e-6 * direction
            below = loss()
            weight += 1e-6 * direction
        assert float((weight.grad * direction).sum()) == pytest.approx(float((above - below) / 2e-6), rel=1e-3, abs=1e-6), name
