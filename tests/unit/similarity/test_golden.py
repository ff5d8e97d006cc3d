"""The golden numbers of similarity, and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cnngraph.errors import CnngraphError, DataError, UsageError
from cnngraph.similarity import cca, cka, mean_coefficient, procrustes, pwcca, svcca
from cnngraph.similarity.canonical import canonical_of_points
from cnngraph.similarity.moments import moments_of

H = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float64)
NOISE, H_OF_NOISE = np.random.default_rng(0).normal(size=(2, 9, 2))


def near(wanted: float, digits: int = 10) -> object:
    return pytest.approx(wanted, abs=0.6 * 10**-digits)


def test_cca_by_hand() -> None:
    x, y = H[:, :2], np.stack([H[:, 0], 0.6 * H[:, 1] + 0.8 * H[:, 2]], axis=1)
    assert cca(x, y) == pytest.approx([1, 0.6])
    assert svcca(x, y) == near(0.8)
    assert pwcca(x, y) == near(0.8)
    tripled = x * [3, 1]
    assert cca(tripled, y).mean() == near(0.8)
    assert pwcca(tripled, y) == near(0.9)


def test_layers_of_five_and_three_neurons() -> None:
    draw = np.random.RandomState(0)
    x = draw.randn(5, 200)
    y = draw.randn(3, 200) + 0.5 * x[:3]
    assert cca(x.T, y.T) == pytest.approx([0.4947410725, 0.4782956186, 0.3571666587], abs=1e-10)
    assert pwcca(x.T, y.T, by="y") == near(0.4424806867)
    assert pwcca(x.T, y.T, by="x") == near(0.4402420601)
    assert pwcca(y.T, x.T, by="y") == near(0.4402420601)


def test_cka_by_hand() -> None:
    x, y = [[1, 0], [0, 1], [1, 1], [2, 0]], [[1, 2], [0, 1], [1, 0], [0, 0]]
    assert cka(x, y) == near(0.1569412051)
    assert cka(x, x) == near(1)


def test_cosines_of_which_three_are_shared() -> None:
    t = 2 * np.pi * np.arange(200) / 200
    a = np.stack([np.cos(k * t) * (6 - k) for k in range(1, 6)], axis=1)
    b = np.stack([np.cos(k * t) for k in range(3, 8)], axis=1)
    assert cca(a, b) == pytest.approx([1, 1, 1, 0, 0], abs=1e-12)
    assert svcca(a, b) == near(0.6)
    found = canonical_of_points(a, b, 0.99)
    assert (found.first.kept, found.second.kept) == (5, 5)
    assert cka(a, b) == near(14 / np.sqrt(4895), 12)
    # 0.1840532465 elsewhere: by the definition, in 80-bit floats, it is this.
    assert cka(a, b, "unbiased") == near(0.184053246718, 12)


def test_a_mixture_and_noise() -> None:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(500, 10))
    b = a[:, :6] @ draw.normal(size=(6, 10)) + 0.5 * draw.normal(size=(500, 10))
    assert cca(a, b).mean() == near(0.6036140294)
    assert svcca(a, b) == near(0.7368938224)
    found = canonical_of_points(a, b, 0.99)
    assert (found.first.kept, found.second.kept) == (10, 8)
    assert pwcca(a, b, by="x") == near(0.6427553477)
    assert pwcca(a, b, by="y") == near(0.8881938688)
    assert cka(a, b) == near(0.6268001429)
    assert cka(a, b, "unbiased") == near(0.6229744532)
    x, y = draw.normal(size=(500, 300)), draw.normal(size=(500, 300))
    assert cka(x, y) == near(0.3772, 4)
    assert cka(x, y, "unbiased") == near(0.0032, 4)
    assert cca(x, y).mean() == near(0.7082, 4)


def test_noise_looks_alike_where_points_are_few() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(64, 512)), draw.normal(size=(64, 512))
    assert cka(x, y) == near(0.89, 2)
    assert abs(cka(x, y, "unbiased")) < 0.02


def test_unbiased_cka_is_the_formula_of_song_and_others() -> None:
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=(7, 3)) + 5, draw.normal(size=(7, 4)) - 2
    n = 7

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        ones = np.ones(n)
        rest = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (ones @ k @ m @ ones)
        return float((np.trace(k @ m) + rest) / (n * (n - 3)))

    k, m = x @ x.T, y @ y.T
    assert cka(x, y, "unbiased") == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)), abs=1e-12)


def test_procrustes_is_a_distance() -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=(50, 6))
    rotation, _ = np.linalg.qr(draw.normal(size=(6, 6)))
    assert procrustes(x, 3 * x @ rotation + 1) == near(0)
    # Two neurons that have nothing to do with one another.
    assert procrustes(H[:, :1], H[:, 1:2]) == near(1)
    # By hand: of x one neuron, of y the same and another of the same size.
    assert procrustes(H[:, :1], H[:, :2]) == near(1 - np.sqrt(0.5))


def test_the_mean_of_the_reference_package_leaves_out_small_coefficients() -> None:
    draw = np.random.default_rng(0)
    a, noise = draw.normal(size=(4000, 8)), draw.normal(size=(4000, 8))
    b = np.concatenate([a[:, :3], noise[:, 3:]], axis=1)
    assert svcca(a, b) == pytest.approx(cca(a, b).mean())
    assert svcca(a, b, mean="cca_core") > svcca(a, b)
    assert mean_coefficient(np.array([1.0, 1.0]), "cca_core") == 1
    assert mean_coefficient(np.array([1.0, 0.9, 0.02]), "cca_core") == pytest.approx(0.95)


def test_dead_and_dependent_neurons_count_for_nothing() -> None:
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=(300, 4)), draw.normal(size=(300, 3))
    y += x[:, :3]
    dead = np.concatenate([x, np.full((300, 2), 7.0), x[:, :1] + x[:, 1:2]], axis=1)
    assert cca(dead, y) == pytest.approx(cca(x, y))
    found = canonical_of_points(dead, y)
    assert (found.first.kept, found.first.dropped, found.second.dropped) == (4, 3, 0)
    assert cka(np.concatenate([x, np.ones((300, 1))], axis=1), y) == pytest.approx(cka(x, y))


def test_a_bad_condition_goes_by_the_points_themselves() -> None:
    draw = np.random.default_rng(6)
    x = draw.normal(size=(400, 5))
    y = x[:, :3] + draw.normal(size=(400, 3))
    badly = x @ np.diag([1, 1, 1, 1, 3e-5])
    assert cca(badly, y) == pytest.approx(cca(x, y), abs=1e-9)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: cca(np.eye(4), np.eye(4)), DataError, "4 points are too few"),
        (lambda: svcca(H, H[:, :1][:3]), UsageError, "4 points and y has 3"),
        (lambda: pwcca(np.ones((9, 2)), np.eye(9)[:, :2]), DataError, "constant"),
        (lambda: cka(H[:3], H[:3], "unbiased"), DataError, "needs 4 points"),
        (lambda: cka(H, np.ones((4, 2))), DataError, "constant"),
        (lambda: procrustes(H, np.ones((4, 2))), DataError, "constant"),
        *((lambda f=f: f(NOISE, np.full((9, 2), 0.1)), DataError, "constant") for f in (cca, svcca, pwcca, procrustes)),
        (lambda: cka(NOISE, np.full((9, 2), 0.3), "unbiased"), DataError, "constant"),
        (lambda: cka(NOISE, 0.3 + 1e-8 * NOISE.astype(np.float32)), DataError, "constant"),
        (lambda: cka(NOISE, NOISE * 1j), UsageError, "no real numbers"),
        (lambda: cka(NOISE, NOISE.astype(str)), UsageError, "no real numbers"),
        (lambda: cka(NOISE, torch.ones(9, 2, requires_grad=True)), UsageError, "no array"),
        (lambda: cka(H, H, "debiased"), UsageError, "no estimator"),
        (lambda: cka(H * np.nan, H), DataError, "NaN"),
        (lambda: cka(np.zeros((2, 3, 4)), H), UsageError, "matrix"),
        (lambda: cka(np.zeros((0, 3)), H), UsageError, "matrix"),
        (lambda: svcca(H[:, :2], H[:, :2], keep=0), UsageError, "share"),
        (lambda: svcca(H[:, :2], H[:, :2], keep=1.1), UsageError, "share"),
        (lambda: svcca(H[:, :2], H[:, :2], mean="other"), UsageError, "mean"),
        (lambda: pwcca(H[:, :2], H[:, :2], by="z"), UsageError, "by x or by y"),
    ],
)
def test_what_cannot_be_compared_is_refused(ask: Callable[[], object], error: type[CnngraphError], words: str) -> None:
    with pytest.raises(error, match=words) as found:
        ask()
    assert found.value.hint


@pytest.mark.parametrize("measure", [cca, svcca, pwcca, cka, procrustes])
@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_no_measure_minds_the_size_of_a_layer(measure: Callable[..., Any], size: float) -> None:
    assert measure(NOISE * size, H_OF_NOISE) == pytest.approx(measure(NOISE, H_OF_NOISE), abs=1e-12)


def test_biased_cka_is_at_most_one() -> None:
    assert all(cka(*(np.random.default_rng(seed).normal(size=(50, 7)),) * 2) <= 1 for seed in range(50))


def test_all_of_the_variance_is_all_directions() -> None:
    x = np.random.default_rng(0).normal(size=(400, 151))
    assert svcca(x, x[:, :4], keep=1) == pytest.approx(float(cca(x, x[:, :4]).mean()), abs=1e-12)
    assert moments_of(x, x).first.directions.strongest(1).kept == 151
