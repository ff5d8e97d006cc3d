"""One line of why something failed, out of whatever other tools raise."""

from __future__ import annotations

import io

import pytest
import torch

from cnngraph.errors import ModelError, PlanError, explain, for_command


class Stranger:
    """What no weights file may hold."""


def caused(outer: Exception, inner: BaseException) -> Exception:
    try:
        raise outer from inner
    except Exception as error:  # noqa: BLE001  whatever it is
        return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("a b.\nc"), "a b"),
        (
            ValueError("\n\n \x1b[1;31m\x1b[0m\n\x1b]8;;http://x\x07The size\tis wrong\x1b]8;;\x07!"),
            "The size is wrong",
        ),
        (ValueError(), "ValueError"),
        (KeyError("conv"), "KeyError: 'conv'"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (ModelError("It is no net.", "Give one."), "It is no net"),
        (caused(RuntimeError("Failed."), ValueError("The root of it.")), "The root of it"),
        (caused(RuntimeError("Said by us before."), KeyError()), "Said by us before"),
        (caused(ValueError("x y"), ModelError("Ours is told.", "hint")), "Ours is told"),
        (RuntimeError('It broke. Set TORCH_LOGS="+dynamic" for more information.'), "It broke"),
        (RuntimeError("CUDA error: no device.\nCompile with `TORCH_USE_CUDA_DSA`."), "CUDA error: no device"),
        (RuntimeError("Error(s) in loading:\n\tsize mismatch for fc."), "Error(s) in loading: size mismatch for fc"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_reasons(error: Exception, reason: str) -> None:
    assert explain(error) == reason


def test_a_context_alone_is_no_cause() -> None:
    """Python links what was being handled; only ``raise ... from`` says that it is the reason."""
    try:
        try:
            {}["x"]
        except KeyError:
            raise ValueError("There is no x here.")  # noqa: B904  on purpose
    except ValueError as error:
        assert explain(error) == "There is no x here"


@pytest.mark.parametrize("content", ["pickle", "page"])
def test_no_dangerous_advice(content: str) -> None:
    """torch.load says how to load a pickle that it refused; nobody may read that as our advice."""
    file = io.BytesIO(b"<html>404</html>")
    if content == "pickle":
        file = io.BytesIO()
        torch.save({"net": Stranger()}, file)
        file.seek(0)
    with pytest.raises(Exception, match="weights_only") as caught:
        torch.load(file, weights_only=True)
    said = explain(caught.value)
    assert said and not any(word in said.lower() for word in ("weights_only", "trust", "\n", "\x1b", "re-running"))


def test_long_ones_are_cut_visibly() -> None:
    assert len(explain(ValueError("a b " * 1000))) < 500 and explain(ValueError("a b " * 1000)).endswith(" ...")


def test_a_hint_of_a_plan_names_options_as_the_reader_knows_them() -> None:
    error = PlanError("The net {odd} is too narrow.", "Choose a smaller {at_least}, or {method=multilayer}.")
    assert error.hint == "Choose a smaller at_least, or method=multilayer."
    assert for_command(error) == (
        "The net {odd} is too narrow.",
        "Choose a smaller --at-least, or --method multilayer.",
    )
    error.hint += " Then go on."
    assert for_command(error)[1].endswith("--method multilayer. Then go on.")
