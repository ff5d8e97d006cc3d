"""The same weights and data find the name under which they were stored; others never do."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cnngraph.errors import ConflictError
from cnngraph.jobs.naming import Place, place

DATA = {"name": "digits", "seed": 0}
DB = cast(Any, SimpleNamespace(owner="me"))


def model(sha256: str, status: str = "complete", data: dict[str, Any] | None = DATA) -> dict[str, Any]:
    return {"status": status, "sha256": sha256, "inputs": json.dumps({"data": data}), "fingerprint": "f"}


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What stands in the database, by key."""
    there: dict[str, Any] = {}
    monkeypatch.setattr("cnngraph.database.catalogue.properties", lambda _, key: there.get(key, {}))
    return there


def test_a_made_name_is_the_first_that_is_free_or_holds_the_same(models: dict[str, Any]) -> None:
    assert place(DB, "net", None, sha256="a", data=DATA) == Place("net", "me/net", whole=False)
    models |= {"me/net": model("other"), "me/net-2": model("a", data={"name": "mnist"}), "me/net-3": model("a")}
    assert place(DB, "net", None, sha256="a", data=DATA) == Place("net-3", "me/net-3", whole=True)
    assert place(DB, "net", None, sha256="b", data=DATA).name == "net-4"


def test_a_typed_name_is_kept_or_refused(models: dict[str, Any]) -> None:
    models |= {"me/half": model("a", "loading"), "me/taken": model("b"), "me/opened": {"status": "loading"}}
    assert place(DB, "net", "half", sha256="a", data=DATA) == Place("half", "me/half", whole=False)
    assert place(DB, "net", "opened", sha256="a", data=DATA) == Place("opened", "me/opened", whole=False)
    for sha256, data in (("a", DATA), ("b", None)):
        with pytest.raises(ConflictError, match="a model taken already, with other weights or data"):
            place(DB, "net", "taken", sha256=sha256, data=data)


def test_a_model_whose_inputs_were_damaged_is_another_one(models: dict[str, Any]) -> None:
    models["me/net"] = model("a") | {"inputs": "{"}
    assert place(DB, "net", None, sha256="a", data=DATA).name == "net-2"
    with pytest.raises(ConflictError):
        place(DB, "net", "net", sha256="a", data=DATA)


def test_the_same_weights_in_another_graph_are_another_model(models: dict[str, Any]) -> None:
    """A plan with other reasons, or another mapping: the writer would refuse it under that name."""
    models["me/net"] = model("a")
    assert place(DB, "net", None, sha256="a", data=DATA, fingerprint="f") == Place("net", "me/net", whole=True)
    assert place(DB, "net", None, sha256="a", data=DATA, fingerprint="g").name == "net-2"
    with pytest.raises(ConflictError, match="made or mapped otherwise"):
        place(DB, "net", "net", sha256="a", data=DATA, fingerprint="g")


def test_before_there_are_weights_a_name_must_be_free(models: dict[str, Any]) -> None:
    models["me/net"] = {"status": "complete", "fingerprint": "f"}  # an import
    assert place(DB, "net", None, sha256="", data=None).name == "net-2"
