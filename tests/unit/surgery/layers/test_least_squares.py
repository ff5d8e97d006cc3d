from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.surgery.layers.least_squares import RIDGE, RankError, Ridge, memory_needed


def test_a_line_through_three_points_by_hand() -> None:
    # x = 0, 1, 2 and y = 1, 3, 5: centred, sum x^2 = 2, sum xy = 4, ridge 1e-3 * 2 -> slope 4 / 2.002, bias 3 - slope
    ridge = Ridge(1, 1, bias=True, dual=False)
    ridge.add(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[1.0], [3.0], [5.0]]))
    fit = ridge.solve()
    assert fit.weight.item() == pytest.approx(4 / 2.002)
    assert fit.bias.item() == pytest.approx(3 - 4 / 2.002)
    # The ridge shrinks the slope by 0.002 / 2.002; slope and bias use 2 / 2.002 + 1 of the three samples' freedom.
    assert fit.relative_error == pytest.approx(0.002 / 2.002 / (1 - (2 / 2.002 + 1) / 3))
    assert fit.rows == 3


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(2, 30), st.booleans(), st.integers(0, 99))
def test_primal_and_dual_solve_the_same_equations(
    unknowns: int, outputs: int, rows: int, bias: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, unknowns, generator=generator, dtype=torch.float64)
    y = torch.randn(rows, outputs, generator=generator, dtype=torch.float64)
    fits = []
    for dual in (False, True):
        ridge = Ridge(unknowns, outputs, bias=bias, dual=dual)
        for first in range(0, rows, 7):
            ridge.add(x[first : first + 7], y[first : first + 7])
        fits.append(ridge.solve())
    torch.testing.assert_close(fits[0].weight, fits[1].weight, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fits[0].bias, fits[1].bias, rtol=1e-6, atol=1e-8)
    assert fits[0].relative_error == pytest.approx(fits[1].relative_error, rel=1e-5, abs=1e-7)
    # The gradient of the ridge's own loss vanishes there.
    centred_x = x - x.mean(0) if bias else x
    centred_y = y - y.mean(0) if bias else y
    scale = RIDGE * float(centred_x.square().sum()) / unknowns
    gradient = centred_x.T @ (centred_x @ fits[0].weight.T - centred_y) + scale * fits[0].weight.T
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-8 * max(1.0, float(y.abs().sum())))


@pytest.mark.parametrize(("unknowns", "dual"), [(40, False), (200, True)])
def test_the_error_is_that_on_other_samples(unknowns: int, dual: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(unknowns, 4, generator=generator)

    def samples(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(rows, unknowns, generator=generator)
        return x, x @ truth + 3 * torch.randn(rows, 4, generator=generator)

    ridge = Ridge(unknowns, 4, bias=True, dual=dual)
    x, y = samples(100)
    ridge.add(x, y)
    fit = ridge.solve()

    def error(x: torch.Tensor, y: torch.Tensor) -> float:
        rest = y - (x.double() @ fit.weight.T + fit.bias)
        return float((rest.square().sum() / (y - y.mean(0)).square().sum()).sqrt())

    assert fit.relative_error == pytest.approx(error(*samples(5000)), rel=0.15)
    assert error(x, y) < 0.8 * fit.relative_error  # what the samples themselves show


@pytest.mark.parametrize("dual", [False, True])
def test_constant_inputs_determine_nothing(dual: bool) -> None:
    ridge = Ridge(2, 1, bias=True, dual=dual)
    ridge.add(torch.ones(5, 2), torch.randn(5, 1))
    with pytest.raises(RankError, match="constant"):
        ridge.solve()


@pytest.mark.parametrize("dual", [False, True])
def test_infinite_inputs_and_no_inputs_are_refused(dual: bool) -> None:
    with pytest.raises(RankError, match="no samples"):
        Ridge(2, 1, bias=True, dual=dual).solve()
    ridge = Ridge(2, 1, bias=False, dual=dual)
    ridge.add(torch.full((5, 2), float("inf")), torch.ones(5, 1))
    with pytest.raises(RankError):
        ridge.solve()


def test_memory_follows_the_smaller_side() -> None:
    assert memory_needed(10, 2, 1000) == 8 * (3 * 100 + 2 * 20 + 2000)
    assert memory_needed(1000, 2, 10) == 8 * (3 * 100 + 2 * 2000 + 10 * 1000 + 20)
