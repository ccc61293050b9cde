"""The meter: closed forms, laws, and what it says to unfit input."""

import math

import pytest
import torch
from torch import nn

from aigc_lib import data, evaluate, recipes, sample
from aigc_lib.data.toy import Mixture


def normal(n, mean, scale, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(mean) + torch.tensor(scale) * torch.randn(n, len(mean), generator=generator)


def test_frechet_is_zero_for_the_same_set_and_the_closed_form_for_diagonal_gaussians():
    a = normal(200_000, [0.0, 1.0], [1.0, 2.0])
    b = normal(200_000, [3.0, 1.0], [1.0, 0.5], seed=1)
    assert evaluate.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    # |mu_a - mu_b|^2 + sum (sigma_a - sigma_b)^2
    assert evaluate.frechet_distance(a, b) == pytest.approx(9 + 2.25, rel=0.02)
    assert evaluate.frechet_distance(a, b) == pytest.approx(evaluate.frechet_distance(b, a))


def test_frechet_survives_features_that_do_not_vary():
    a, b = torch.zeros(50, 3), torch.ones(50, 3)
    assert evaluate.frechet_distance(a, b) == pytest.approx(3)


def test_frechet_is_biased_upwards_for_small_sets():
    values = [
        evaluate.frechet_distance(normal(n, [0.0] * 8, [1.0] * 8), normal(n, [0.0] * 8, [1.0] * 8, 1))
        for n in (50, 5000)
    ]
    assert values[0] > 10 * values[1] > 0


def test_precision_and_recall_of_sets_known_by_construction():
    left, right = normal(300, [-50.0, 0.0], [1.0, 1.0]), normal(300, [50.0, 0.0], [1.0, 1.0], 1)
    both = torch.cat([left, right])
    assert evaluate.precision_recall(left, right) == (0, 0)
    assert evaluate.precision_recall(left, left) == (1, 1)
    precision, recall = evaluate.precision_recall(both, normal(600, [-50.0, 0.0], [1.0, 1.0], 2))  # one mode dropped
    assert precision > 0.9 and recall == pytest.approx(0.5, abs=0.05)
    precision, recall = evaluate.precision_recall(left, both)  # half of the fakes are elsewhere
    assert precision == pytest.approx(0.5, abs=0.05) and recall > 0.9


def test_modes_held_of_the_ring_and_of_what_is_no_ring():
    ring = data.toy.ring(8, radius=2.0, std=0.1)
    rng = torch.Generator().manual_seed(0)
    held, share = evaluate.modes_held(ring.sample(10_000, rng), ring.means, 0.1)
    assert held == 8 and share == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # 3 std in the plane
    angle = torch.linspace(0, 2 * math.pi, 10_001)[:-1]
    circle = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    angle_in = 8 * 2 * 2 * math.asin(0.3 / 4)  # eight arcs; each half of an arc has a chord of 3 std
    held, share = evaluate.modes_held(circle, ring.means, 0.1)
    assert held == 8 and share == pytest.approx(angle_in / (2 * math.pi), abs=0.005)
    assert evaluate.modes_held(normal(10_000, [0.0, 0.0], [1.4, 1.4]), ring.means, 0.1)[0] == 0
    assert evaluate.modes_held(ring.means[[0, 0, 3]], ring.means, 0.1) == (2, 1.0)


def test_modes_held_counts_from_the_least_share_on_and_up_to_three_std():
    points, centres = torch.tensor([[0.0], [0.29], [0.31], [9.0]]), torch.tensor([[0.0], [9.0]])
    assert evaluate.modes_held(points, centres, 0.1) == (2, 0.75)
    assert evaluate.modes_held(points, centres, 0.1, least=0.5)[0] == 1
    assert evaluate.modes_held(points, centres, 0.1, least=0.51)[0] == 0


@pytest.mark.parametrize(
    "change, found",
    [
        ({"points": torch.zeros(5, 3)}, r"points \(5, 3\) and centres \(2, 2\)"),
        ({"points": torch.zeros(0, 2)}, r"N and K at least 1"),
        ({"std": 0.0}, "std=0.0"),
        ({"std": math.nan}, "std=nan"),
        ({"least": 20}, "least=20"),
    ],
)
def test_modes_held_refuses_what_does_not_fit(change, found):
    with pytest.raises(ValueError, match=found):
        evaluate.modes_held(**{"points": torch.zeros(5, 2), "centres": torch.zeros(2, 2), "std": 0.1, **change})


def test_density_and_coverage_of_sets_known_by_construction():
    real, alike = normal(2000, [0.0] * 4, [1.0] * 4), normal(2000, [0.0] * 4, [1.0] * 4, 1)
    for k in (1, 3, 5):  # of the k nearest points of a mixed set, at least one is a fake: 1 - 2^-k
        density, coverage = evaluate.density_coverage(real, alike, k)
        assert density == pytest.approx(1, abs=0.06) and coverage == pytest.approx(1 - 2.0**-k, abs=0.03)
    density, coverage = evaluate.density_coverage(real, real[:1].expand(500, 4))
    assert density >= 1 / 3 and coverage < 0.02  # one real point, repeated: in few balls
    assert evaluate.density_coverage(real, real + 100) == (0, 0)
    with pytest.raises(ValueError, match="k=2000: expected 1 to 1999"):
        evaluate.density_coverage(real, real, k=2000)


def test_one_far_outlier_moves_precision_and_hardly_density():
    real, dust = normal(1000, [0.0, 0.0], [1.0, 1.0]), normal(1000, [200.0, 0.0], [20.0, 20.0], 1)
    far = torch.cat([real, torch.tensor([[400.0, 0.0]])])  # its ball reaches back to the others
    assert evaluate.precision_recall(real, dust)[0] == 0 and evaluate.precision_recall(far, dust)[0] == 1
    assert evaluate.density_coverage(far, dust)[0] == pytest.approx(1 / 3)
    assert evaluate.density_coverage(far, dust)[1] < 0.01


def test_class_entropy():
    assert evaluate.class_entropy(torch.eye(10)) == pytest.approx(math.log(10))
    assert evaluate.class_entropy(torch.eye(10)[:1].expand(7, 10)) == 0


@pytest.mark.parametrize(
    "rows, found",
    [
        (torch.tensor([[200.0, 5.0]]), "rows of sum 205 to 205"),  # counts
        (torch.tensor([[1.5, -0.5]]), "values from -0.5"),
        (torch.tensor([[0.5, math.nan]]), "values from nan"),
        (torch.tensor([0.5, 0.5]), r"shape \(2,\)"),
        (torch.tensor([[1, 0]]), "int64"),
    ],
)
def test_class_entropy_wants_probabilities(rows, found):
    with pytest.raises(ValueError, match=f"probabilities: .*{found}.*expected class probabilities"):
        evaluate.class_entropy(rows)


class LinearGaussian(nn.Module):
    """z ~ N(0, 1), one pixel, Bernoulli with constant logits: p(x) does not depend on z, so every bound is exact."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.7))

    def encode(self, x):
        return torch.full((len(x), 2), 0.5), torch.full((len(x), 2), -0.3)

    def decode(self, z):
        return self.logit.expand(len(z), 1, 1, 1)

    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        return self.decode(mu), mu, logvar


def test_bounds_on_a_model_with_a_known_likelihood():
    x = torch.ones(40, 1, 1, 1)
    exact = math.log(1 + math.exp(-0.7))  # -log sigmoid(0.7)
    model = LinearGaussian()
    elbo = evaluate.negative_elbo(model, x)
    assert elbo["nll"] == pytest.approx(exact) and elbo["loss"] == pytest.approx(exact + elbo["kl"])
    one, many = (evaluate.iwae_bound(model, x, k, torch.Generator().manual_seed(0)) for k in (1, 3000))
    assert one > many > exact - 0.01 and many == pytest.approx(exact, abs=0.02)


def test_iwae_tightens_the_elbo_of_the_shipped_vae():
    vae, images = recipes.load("vae"), data.mnist("test")[0][:100]
    bounds = [evaluate.iwae_bound(vae, images, k, torch.Generator().manual_seed(1)) for k in (1, 8, 64)]
    elbo = evaluate.negative_elbo(vae, images, torch.Generator().manual_seed(2))["loss"]
    assert bounds[0] == pytest.approx(elbo, rel=0.02)
    assert bounds[0] > bounds[1] > bounds[2]
    with pytest.raises(ValueError, match="k=0"):
        evaluate.iwae_bound(vae, images, 0)


def test_a_standard_normal_mixture_gives_the_closed_form_elbo():
    vae, images = recipes.load("vae"), data.mnist("test")[0][:300]
    standard = Mixture(torch.ones(1), torch.zeros(1, 20), torch.eye(20)[None])
    closed, drawn = (
        evaluate.negative_elbo(vae, images, torch.Generator().manual_seed(0), prior=p) for p in (None, standard)
    )
    assert drawn["nll"] == closed["nll"] and drawn["kl"] == pytest.approx(closed["kl"], rel=0.02)


def test_a_fitted_prior_is_the_mixture_the_codes_came_from():
    truth = Mixture(
        torch.tensor([0.3, 0.7]), torch.tensor([[-3.0, 0.0], [3.0, 1.0]]), torch.eye(2).repeat(2, 1, 1) * 0.5
    )
    generator = torch.Generator().manual_seed(0)
    codes, fresh = truth.sample(4000, generator), truth.sample(4000, generator)
    fitted = sample.fit_prior(codes, components=2, generator=generator)
    assert fitted.log_prob(fresh).mean().item() == pytest.approx(truth.log_prob(fresh).mean().item(), abs=0.01)
    assert sorted(fitted.weights.tolist()) == pytest.approx([0.3, 0.7], abs=0.03)
    with pytest.raises(ValueError, match="components=9"):
        sample.fit_prior(codes[:5], components=9)


def test_negative_elbo_is_the_mean_over_all_images_whatever_the_batch_size():
    x = torch.ones(10, 1, 1, 1)
    whole, split = (evaluate.negative_elbo(LinearGaussian(), x, batch_size=n) for n in (10, 4))
    assert split == pytest.approx(whole)


def test_the_meter_ranks_real_above_model_above_noise():
    features = recipes.digit_features()
    digits, _ = data.mnist("test")
    real, held_out = digits[::2], digits[1::2]  # interleaved: the first half of the test set is easier than the second
    vae = recipes.load("vae")
    made = vae.images(torch.randn(1000, 20, generator=torch.Generator().manual_seed(0)))
    noise = torch.rand(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rows = [evaluate.measure(fake, held_out[:1000], features) for fake in (real[:1000], made, noise)]
    assert rows[0]["fdd"] < rows[1]["fdd"] < rows[2]["fdd"]
    assert rows[0]["precision"] > 0.8 and rows[0]["recall"] > 0.8 and rows[2]["precision"] == 0
    assert rows[0]["class_entropy"] > 2.25 > rows[2]["class_entropy"]


def test_unfit_input_is_named():
    with pytest.raises(ValueError, match=r"\(5, 2\) and \(5, 3\)"):
        evaluate.frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="not finite"):
        evaluate.frechet_distance(torch.full((5, 2), math.nan), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="k=9"):
        evaluate.precision_recall(torch.zeros(9, 2), torch.zeros(9, 2), k=9)
    with pytest.raises(ValueError, match="equal numbers"):
        evaluate.measure(torch.zeros(3, 1, 28, 28), torch.zeros(4, 1, 28, 28), lambda x: (x, x))


def describe(images):
    """Eight pixels as features, and two classes."""
    rows = images.float().flatten(1)[:, 396:404]
    return rows, rows[:, :2].softmax(1)


def test_images_in_another_range_shape_or_type_are_not_measured():
    real = data.mnist("test")[0][:20]
    for fake, message in [
        ((real + 1) / 2, r"from 0 to 1, real from -1: these look like images in \[0, 1\].*2 \* x - 1"),
        ((real + 1) * 127.5, r"values from 0 to 255: expected finite ones in \[-1, 1\]"),
        (((real + 1) * 127.5).byte(), "fake is torch.uint8: expected float images"),
        (real * math.nan, "values from nan to nan"),
        (real * 1.01, "values from -1.01 to 1.01"),
        (real[:, 0], r"\(20, 28, 28\): expected \(N, C, H, W\)"),
        (real[:, :, 1:], r"\(20, 1, 27, 28\): expected \(20, 1, 28, 28\)"),
        (describe, "fake is function"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate.measure(fake, real, describe)
    with pytest.raises(ValueError, match="real is function"):
        evaluate.measure(real, describe, real)
    with pytest.raises(ValueError, match="real has values from 0 to 255"):
        evaluate.measure(real, (real + 1) * 127.5, describe)


def test_features_that_are_exchanged_or_incomplete_are_not_measured():
    real = data.mnist("test")[0][:20]
    trained = recipes.digit_features()
    for features, message in [
        (lambda x: trained(x)[::-1], "second part of features.*values from 0, rows of sum .*expected class prob"),
        (lambda x: trained(x)[0], r"returned \(20, 64\): expected two, features \(20, F\)"),
        (lambda x: (*trained(x), 0), "returned .*int: expected two"),
        (lambda x: trained(x[1:]), r"returned \(19, 64\), \(19, 10\): expected two, features \(20, F\)"),
        (lambda x: None, "returned NoneType"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate.measure(real, real, features)


def test_strange_images_in_the_right_range_are_measured():
    digits = data.mnist("test")[0]
    real, other = digits[:50], digits[50:100]
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    strange = {
        "noise": noise,
        "black": torch.full_like(real, -1.0),
        "grey": torch.zeros_like(real),
        "white": torch.ones_like(real),
        "almost white": 1 - 0.01 * noise.abs(),
        "inverted": -other,
        "damaged": (other + noise).clamp(-1, 1),
        "faint": 0.01 * noise,
        "rounded": other.bfloat16(),
        "a little outside": other * 1.0005,
    }
    for name, images in strange.items():
        row = evaluate.measure(images, real, describe)
        assert row["n"] == 50 and row["fdd"] > 0, name


def test_inception_score_of_known_classifiers():
    sure = torch.eye(4).repeat(5, 1)
    assert evaluate.inception_score(sure) == pytest.approx(4)  # sure, and varied
    assert evaluate.inception_score(sure[:1].repeat(9, 1)) == pytest.approx(1)  # sure, one class
    assert evaluate.inception_score(torch.full((7, 4), 0.25)) == pytest.approx(1)  # never sure
    p, q = torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])
    both, mean = torch.stack([p, q]), (p + q) / 2
    by_hand = (both * (both / mean).log()).sum(1).mean().exp()
    assert evaluate.inception_score(both) == pytest.approx(float(by_hand))
    with pytest.raises(ValueError):
        evaluate.inception_score(torch.tensor([[3.0, 4.0]]))


def test_kid_is_right_on_average_for_small_sets():
    """Of one distribution it is 0 on average, of two the same for sets of 5 and of 50."""
    rng = torch.Generator().manual_seed(0)

    def mean(n, m, shift, tries=2000):
        pairs = [(torch.randn(n, 3, generator=rng), shift + torch.randn(m, 3, generator=rng)) for _ in range(tries)]
        found = torch.tensor([evaluate.kid(a, b) for a, b in pairs])
        return found.mean(), found.std() / tries**0.5

    zero, error = mean(5, 7, 0.0)
    assert zero.abs() < 4 * error
    (small, error), (large, _) = mean(5, 7, 1.0), mean(50, 50, 1.0, tries=200)
    assert large > 1 and (small - large).abs() < 5 * error
    with pytest.raises(ValueError, match="N and M at least 2"):
        evaluate.kid(torch.zeros(1, 3), torch.zeros(5, 3))


def test_records_are_complete():
    with pytest.raises(ValueError, match="no record 'nothing'"):
        evaluate.recorded("nothing")


def test_race_rows_go_from_the_baseline_to_ours_and_leave_out_what_was_not_recorded():
    def found(**mean):
        return {"mean": mean, "sd": dict.fromkeys(mean, 0.5)}

    record = {"contenders": {"real": found(fdd=3.0), "ours": found(steps=2731.67, fdd=9.0)}}
    assert evaluate.race_rows(record, ["steps", "fdd"]) == [
        ["our recipe", "2732 ± 0", "9.00 ± 0.50"],
        ["10,000 training images in place of samples", "", "3.00 ± 0.50"],
    ]
    record["contenders"] |= {"ours but float32": found(fdd=9.5), "published": found(fdd=800.0)}
    names = [row[0] for row in evaluate.race_rows(record, ["fdd"])]
    assert names[:2] == ["plain baseline (our rebuild)", "ours but float32"]
    assert names[2].startswith("our recipe") and len(names) == 4
