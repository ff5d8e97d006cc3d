"""Ridge regression of a layer's old outputs on its new inputs, streamed in float64.

With few unknowns the normal equations are summed up batch by batch (primal form, memory d x d); where the unknowns
exceed the samples the samples themselves are kept and a system of their number is solved (dual form).
The ridge is 1e-3 of the mean of the Gram matrix's diagonal; a bias is fitted by centring and is not shrunk.
The error is that of generalised cross-validation (Golub, Heath and Wahba 1979): the residual of many unknowns on few
samples is small whatever they are worth, so it is divided by the share of the samples' freedom that the fit left over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["RIDGE", "Fit", "RankError", "Ridge", "memory_needed"]

RIDGE = 1e-3


class RankError(Exception):
    """The samples determine nothing: no rows, constant or non-finite inputs."""


@dataclass(frozen=True)
class Fit:
    """``weight``: (outputs, inputs), ``bias``: (outputs,), both float64.

    ``relative_error``: root of the residual's sum of squares over that of the targets about their means, over
    ``1 - freedom / rows``: an estimate of the error on other samples.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    relative_error: float
    rows: int


def memory_needed(unknowns: int, outputs: int, rows: int) -> int:
    """Bytes that a fit takes at its peak: the system, its factor and its inverse, and right-hand sides."""
    side = min(unknowns, rows)
    kept = rows * unknowns if rows < unknowns else 0
    return 8 * (3 * side * side + 2 * unknowns * outputs + kept + rows * outputs)


class Ridge:
    """One regression; feed it rows with :meth:`add`, then :meth:`solve` it."""

    def __init__(self, unknowns: int, outputs: int, *, bias: bool, dual: bool) -> None:
        self._bias = bias
        self._dual = dual
        self._rows = 0
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        if not dual:
            self._gram = torch.zeros(unknowns, unknowns, dtype=torch.float64)
            self._cross = torch.zeros(unknowns, outputs, dtype=torch.float64)
            self._sum_x = torch.zeros(unknowns, dtype=torch.float64)
            self._sum_y = torch.zeros(outputs, dtype=torch.float64)
            self._square_y = torch.zeros(outputs, dtype=torch.float64)

    def add(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take in rows: ``inputs`` (rows, unknowns), ``targets`` (rows, outputs), any floating type."""
        x = inputs.to("cpu", torch.float64)
        y = targets.to("cpu", torch.float64)
        self._rows += x.shape[0]
        if self._dual:
            self._kept.append((x, y))
            return
        self._gram.addmm_(x.T, x)
        self._cross.addmm_(x.T, y)
        self._sum_x += x.sum(0)
        self._sum_y += y.sum(0)
        self._square_y += y.square().sum(0)

    def solve(self) -> Fit:
        """Solve it.

        Raises:
            RankError: nothing was added, or the inputs are constant or not finite.
        """
        if self._rows == 0:
            raise RankError("there are no samples")
        return self._solve_dual() if self._dual else self._solve_primal()

    def _solve_primal(self) -> Fit:
        rows = self._rows
        mean_x = self._sum_x / rows
        mean_y = self._sum_y / rows
        spread = float((self._square_y - rows * mean_y.square()).sum())
        if self._bias:
            gram = self._gram - rows * torch.outer(mean_x, mean_x)
            cross = self._cross - rows * torch.outer(mean_x, mean_y)
            total = spread
        else:
            gram, cross, total = self._gram, self._cross, float(self._square_y.sum())
        weight, freedom = _solve(gram, cross)
        residual = total - 2 * float((weight * cross).sum()) + float((weight * (gram @ weight)).sum())
        return self._fit(weight, mean_x, mean_y, residual, spread, freedom)

    def _solve_dual(self) -> Fit:
        x = torch.cat([row for row, _ in self._kept])
        y = torch.cat([row for _, row in self._kept])
        self._kept.clear()
        mean_x, mean_y = x.mean(0), y.mean(0)
        spread = float((y - mean_y).square().sum())
        if self._bias:
            x, y = x - mean_x, y - mean_y
        # The same ridge as the primal form's: both Gram matrices have the same trace, theirs has x.shape[1] entries.
        gram = x @ x.T
        coefficients, freedom = _solve(gram, y, entries=x.shape[1])
        weight = x.T @ coefficients
        residual = float((y - x @ weight).square().sum())
        return self._fit(weight, mean_x, mean_y, residual, spread, freedom)

    def _fit(
        self,
        weight: torch.Tensor,
        mean_x: torch.Tensor,
        mean_y: torch.Tensor,
        residual: float,
        spread: float,
        freedom: float,
    ) -> Fit:
        bias = mean_y - mean_x @ weight if self._bias else torch.zeros_like(mean_y)
        left = max(1 - (freedom + self._bias) / self._rows, 1e-9)  # positive but for rounding
        error = (max(residual, 0.0) / spread) ** 0.5 / left if spread > 0 else 0.0
        return Fit(weight.T.contiguous(), bias, error, self._rows)


def _solve(gram: torch.Tensor, right: torch.Tensor, entries: int | None = None) -> tuple[torch.Tensor, float]:
    """Solve ``(gram + ridge) w = right``; the ridge is RIDGE x trace / entries (default: the side of ``gram``).

    Also the fit's degrees of freedom, the trace of ``gram (gram + ridge)^-1``: the same in the primal and dual form.
    """
    trace = float(gram.diagonal().sum())
    if not (trace > 0 and trace < float("inf")) or not bool(torch.isfinite(right).all()):
        raise RankError("its inputs are constant or not finite")
    ridge = RIDGE * trace / (entries or gram.shape[0])
    system = gram.clone()
    system.diagonal().add_(ridge)
    factor, info = torch.linalg.cholesky_ex(system)
    del system
    if int(info) != 0:
        raise RankError("its equations have no unique solution")
    freedom = gram.shape[0] - ridge * float(torch.cholesky_inverse(factor).diagonal().sum())
    return torch.cholesky_solve(right, factor), freedom
