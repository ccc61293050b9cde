"""The meter against torchmetrics and scipy."""

import numpy as np
import pytest
import torch

from aigc_lib import data, evaluate, recipes

fid = pytest.importorskip("torchmetrics.image.fid")
spatial = pytest.importorskip("scipy.spatial")
linalg = pytest.importorskip("scipy.linalg")


def features(n, seed, width=12):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(n, width, generator=generator, dtype=torch.float64) @ mix + seed


def test_frechet_is_scipy_sqrtm():
    a, b = features(500, 0), features(400, 1)
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    theirs = mean + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert evaluate.frechet_distance(a, b) == pytest.approx(float(theirs), rel=1e-6)


def test_fdd_is_torchmetrics_fid_with_our_classifier():
    class Classifier(torch.nn.Module):
        num_features = 64

        def __init__(self):
            super().__init__()
            self.network = recipes.load("digits")

        def forward(self, images):
            return self.network.features(images)

    real, fake = data.mnist("test")[0][:800], data.mnist("train")[0][:800].flip(3)
    metric = fid.FrechetInceptionDistance(feature=Classifier(), input_img_size=(1, 28, 28))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    ours = evaluate.measure(fake, real, recipes.digit_features())["fdd"]
    assert ours == pytest.approx(float(metric.compute()), rel=1e-4)


def test_precision_recall_by_scipy_neighbours():
    real, fake = features(300, 0, width=3).numpy(), features(250, 0, width=3).numpy() * 1.2 + 0.5

    def inside(points, centres, k=3):
        radii = spatial.cKDTree(centres).query(centres, k=k + 1)[0][:, -1]
        return np.mean([(np.linalg.norm(centres - p, axis=1) <= radii).any() for p in points])

    ours = evaluate.precision_recall(torch.from_numpy(real), torch.from_numpy(fake))
    assert ours == pytest.approx((inside(fake, real), inside(real, fake)))


def test_density_and_coverage_by_their_definition():
    """Equation 5 of Naeem et al. 2020, one point at a time; the authors' code has < where we have <=."""
    real, fake = features(120, 0, width=3).numpy(), features(90, 0, width=3).numpy() * 1.2 + 0.5
    for k in (1, 3, 5):
        radii = [sorted(np.linalg.norm(real - x, axis=1))[k] for x in real]  # [0] is x itself
        inside = [[np.linalg.norm(x - y) < r for y in fake] for x, r in zip(real, radii, strict=True)]
        density = sum(inside[i][j] for i in range(120) for j in range(90)) / (k * 90)
        coverage = sum(any(row) for row in inside) / 120
        ours = evaluate.density_coverage(torch.from_numpy(real), torch.from_numpy(fake), k)
        assert ours == pytest.approx((density, coverage)) and 0 < coverage < 1


def test_kid_is_that_of_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")
    a, b = features(60, 0), features(60, 1)
    assert evaluate.kid(a, b) == pytest.approx(float(kid.poly_mmd(a, b)))
