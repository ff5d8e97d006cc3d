"""Correlations of maps against numpy's, with many maps, few images, and dead maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnngraph import trace
from cnngraph.network import resemblance as module
from cnngraph.network.channels import Maps
from cnngraph.network.graph import follow
from cnngraph.network.resemblance import Resemblance
from tests.toynets import toy
from tests.unit.network.chains import Chain, chains

SIZES = {"input": 2, "a": 12, "b": 15}


def responses(images: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: (images, size, *((3, 3) if name != "b" else (1, 1))) for name, size in SIZES.items()}
    values = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    values["a"][:, 3] = 7.25
    values["b"][:, 1] = -2 * values["a"][:, 0].mean((1, 2))[:, None, None]
    return values


def collected(values: dict[str, Tensor], batch: int, seed: int = 0, *, across: bool = True) -> list[dict[str, object]]:
    found = Resemblance(Maps(SIZES, ()), seed, across=across)
    for start in range(0, len(values["a"]), batch):
        part = {name: value[start : start + batch].flatten(2) for name, value in values.items()}
        for name, value in part.items():
            found.see(name, value)
        found.end_of_batch({name: value.mean(2) for name, value in part.items()})
    rows: list[dict[str, object]] = found.table(lambda text: None).to_pylist()
    return rows


def naive(values: dict[str, Tensor]) -> dict[tuple[str, str], float]:
    """Correlation by "layer:channel", for every pair of maps that are not constant."""
    means, places = {}, {}
    for name, value in values.items():
        for channel in range(value.shape[1]):
            means[f"{name}:{channel}"] = value[:, channel].mean((1, 2)).numpy()
            places[f"{name}:{channel}"] = value[:, channel].flatten().numpy()
    found = {}
    for one in means:
        for other in means:
            kept = places if one.split(":")[0] == other.split(":")[0] else means
            if one != other and np.ptp(kept[one]) > 0 and np.ptp(kept[other]) > 0:
                found[one, other] = float(np.corrcoef(kept[one], kept[other])[0, 1])
    return found


def strongest(expected: dict[tuple[str, str], float]) -> set[tuple[str, str]]:
    """Each map with its ten most alike within its layer and its ten across."""
    chosen = set()
    for one in {pair[0] for pair in expected}:
        for same in (True, False):
            others = [o for (a, o) in expected if a == one and (a.split(":")[0] == o.split(":")[0]) == same]
            chosen |= {(one, o) for o in sorted(others, key=lambda o: -abs(expected[one, o]))[: module.MOST_ALIKE]}
    return chosen | {(other, one) for one, other in chosen}


def compare(rows: list[dict[str, object]], values: dict[str, Tensor]) -> None:
    expected = naive(values)
    found = {}
    for row in rows:
        one, other = (f"{row[f'{end}_layer']}:{row[f'{end}_channel']}" for end in ("source", "target"))
        assert row["scope"] == ("within" if row["source_layer"] == row["target_layer"] else "across")
        found[one, other] = found[other, one] = row["correlation"]
    assert set(found) == strongest(expected)
    for pair, correlation in found.items():
        assert correlation == pytest.approx(expected[pair], abs=1e-9)


@pytest.mark.parametrize("batch", [1, 4, 40])
def test_correlations_equal_numpys(batch: int) -> None:
    compare(collected(responses(40), batch), responses(40))


def test_layers_alone_are_compared_as_they_are_with_others() -> None:
    within = [row for row in collected(responses(40), 7) if row["scope"] == "within"]
    alone = collected(responses(40), 7, across=False)
    for one, other in zip(alone, within, strict=True):
        assert one.pop("correlation") == pytest.approx(other.pop("correlation"), abs=1e-12)
        assert one == other
    assert {row["source_layer"] for row in alone} == {"input", "a", "b"}  # "b" has one place
    assert {row["source_layer"] for row in collected(responses(2), 2, across=False)} == {"input", "a"}


def test_many_images_are_merged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 8)
    compare(collected(responses(40), 3), responses(40))


def test_a_sample_that_holds_all_images_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_SQUARE", 3)
    monkeypatch.setattr(module, "_ROWS", 7)
    compare(collected(responses(40), 7), responses(40))


def test_a_small_sample_is_uniform_seeded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_BYTES", 0)
    sample = module._Sample(1, seed=3)
    for start in range(0, 1000, 50):
        sample.add(torch.arange(start, start + 50.0, dtype=torch.float64)[:, None])
    kept = np.array([row[0] for row in sample._rows])
    assert len(kept) == len(set(kept)) == sample.used == 64 and sample.images == 1000
    assert 400 < kept.mean() < 600
    monkeypatch.setattr(module, "LARGEST_SQUARE", 3)
    assert collected(responses(200), 10, seed=1) == collected(responses(200), 10, seed=1)
    found = Resemblance(Maps({"a": 5}, ()), 0)
    for _ in range(70):
        found.end_of_batch({"a": torch.randn(1, 5)})
    notes: list[str] = []
    found.table(notes.append)
    assert notes == ["Maps of different layers are compared on a sample of 64 of 70 images."]


def test_constant_maps_have_no_correlation() -> None:
    rows = collected(responses(40), 4)
    assert not [
        r
        for r in rows
        if ("a", 3) in ((r["source_layer"], r["source_channel"]), (r["target_layer"], r["target_channel"]))
    ]


def test_float32_rounding_is_no_variance() -> None:
    found = Resemblance(Maps({"a": 2}, ()), 0)
    values = torch.full((5, 2, 1000), 0.1)
    values[:, 1] = torch.randn(5, 1000)
    for _ in range(3):
        found.see("a", values)
        found.end_of_batch({"a": values.mean(2)})
    assert found.table(lambda text: None).num_rows == 0


def test_two_images_say_nothing_across_layers() -> None:
    rows = collected(responses(2), 1)
    assert {row["scope"] for row in rows} == {"within"}


@settings(deadline=None, derandomize=True, max_examples=20)
@given(chains(), st.integers(1, 7))
def test_the_pass_sees_what_the_naive_computation_sees(chain: Chain, batch: int) -> None:
    rows = trace(chain.net, chain.loader(batch), view="channels").resembles.to_pylist()
    graph = follow(chain.net, tuple(chain.images.shape[1:]))
    values = chain.values()
    shown = {name: values[Maps.response(graph, name).layer] for name in Maps.of(graph).sizes}
    for row in rows:
        one, other = (shown[row[f"{end}_layer"]][:, row[f"{end}_channel"]] for end in ("source", "target"))
        if row["scope"] == "across":
            one, other = (part.reshape(len(part), -1).mean(axis=1) for part in (one, other))
        assert row["correlation"] == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1], abs=1e-6)


def test_correlations_can_be_left_out() -> None:
    data = [(torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 0, 1]))]
    assert trace(toy("plain"), data, correlations=False).resembles.num_rows == 0
    assert trace(toy("plain"), data).resembles.num_rows > 0


def test_a_layer_of_one_place_is_compared_by_images() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(2, 4))
    images = torch.randn(9, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        units = net(images).double().numpy()
    rows = trace(net, [(images, torch.zeros(9, dtype=torch.long))]).resembles.to_pylist()
    within = [row for row in rows if row["source_layer"] == row["target_layer"] == "2"]
    assert len(within) == 6
    for row in within:
        expected = np.corrcoef(units[:, row["source_channel"]], units[:, row["target_channel"]])[0, 1]
        assert row["correlation"] == pytest.approx(expected, abs=1e-5)
