"""What leaves a similarity as it is: found by hypothesis on matrices of all shapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.similarity import cca, cka, procrustes, pwcca, svcca

Floats = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = st.integers(1, 6)
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def two_layers(draw: np.random.Generator, p: int, q: int) -> tuple[Floats, Floats]:
    """60 points of two layers that share something."""
    x = draw.normal(size=(60, p))
    return x, x @ draw.normal(size=(p, q)) + draw.normal(size=(60, q))


def invertible(draw: np.random.Generator, width: int) -> Floats:
    """A map with a condition of at most 100."""
    left, right = rotation(draw, width), rotation(draw, width)
    return left * np.exp(draw.uniform(-2.3, 2.3, size=width)) @ right


def rotation(draw: np.random.Generator, width: int) -> Floats:
    """An orthogonal map."""
    return np.linalg.qr(draw.normal(size=(width, width)))[0]


@SETTINGS
@given(SEEDS, WIDTHS, WIDTHS)
def test_cca_under_invertible_maps(seed: int, p: int, q: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = two_layers(draw, p, q)
    mapped = x @ invertible(draw, p) + draw.normal(size=p), y @ invertible(draw, q) - 3
    assert cca(*mapped) == pytest.approx(cca(x, y), abs=1e-9)
    assert cca(y, x) == pytest.approx(cca(x, y), abs=1e-9)
    assert cca(x, mapped[0]) == pytest.approx(np.ones(p), abs=1e-9)
    assert svcca(x, y, keep=1) == pytest.approx(cca(x, y).mean(), abs=1e-9)


@SETTINGS
@given(SEEDS, WIDTHS, WIDTHS)
def test_cka_and_procrustes_under_rotations_and_scale(seed: int, p: int, q: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = two_layers(draw, p, q)
    turned = 7 * x @ rotation(draw, p) - 2, 0.01 * y @ rotation(draw, q) + draw.normal(size=q)
    for estimator in ("biased", "unbiased"):
        assert cka(*turned, estimator) == pytest.approx(cka(x, y, estimator), abs=1e-10)
        assert cka(y, x, estimator) == pytest.approx(cka(x, y, estimator), abs=1e-12)
        assert cka(x, turned[0], estimator) == pytest.approx(1, abs=1e-10)
    assert procrustes(*turned) == pytest.approx(procrustes(x, y), abs=1e-10)
    assert procrustes(y, x) == pytest.approx(procrustes(x, y), abs=1e-10)
    assert procrustes(x, turned[0]) == pytest.approx(0, abs=1e-10)


@SETTINGS
@given(SEEDS, WIDTHS, WIDTHS)
def test_bounds(seed: int, p: int, q: int) -> None:
    x, y = two_layers(np.random.default_rng(seed), p, q)
    for value in (*cca(x, y), svcca(x, y), pwcca(x, y), pwcca(x, y, by="y"), cka(x, y), procrustes(x, y)):
        assert 0 <= value <= 1
    coefficients = cca(x, y)
    assert len(coefficients) == min(p, q)
    assert (np.diff(coefficients) <= 0).all()
    assert pwcca(x, y, by="x") == pytest.approx(pwcca(y, x, by="y"), abs=1e-9)


def test_pwcca_is_that_of_qr_and_svd_up_to_a_condition_of_a_thousand() -> None:
    draw = np.random.default_rng(1)
    n, p = 1500, 40

    def layer(source: Floats) -> Floats:
        scales = np.geomspace(1, 1e-3, p)
        return np.linalg.qr(source - source.mean(0))[0] * scales @ rotation(draw, p)

    shared = draw.normal(size=(n, p))
    x, y = (layer(shared + draw.normal(size=(n, p))) for _ in range(2))
    assert np.linalg.cond(x) == pytest.approx(1e3, rel=1e-6)
    (qx, _), (qy, _) = np.linalg.qr(x), np.linalg.qr(y)
    left, coefficients, _ = np.linalg.svd(qx.T @ qy)
    weights = np.abs((qx @ left).T @ x).sum(axis=1)
    assert pwcca(x, y) == pytest.approx(weights @ coefficients / weights.sum(), abs=1e-9)
