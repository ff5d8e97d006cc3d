"""What people decided on the filters of a model: a log that only grows, bound to the weights and the structure.

Every choice has an id that was made where the person decided, so that sending it again stores nothing twice; taking one
back is a choice too (``undo``). Each writer of a database (owner) has one log, ``(:Review)``, of a model; they are read
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cnngraph.database import cypher
from cnngraph.errors import ConflictError, ModelError, NotFoundError, nearest
from cnngraph.origin import Origin
from cnngraph.validation import parse_stored, read_object
from cnngraph.vocabulary import ANSWERS, LENSES

if TYPE_CHECKING:
    import neo4j

    from cnngraph.database.connection import Database

__all__ = ["UNDO", "Binding", "Choice", "Log", "append", "bind", "judgeable_layers", "read_log", "stored_choices"]

UNDO = "undo"  # the decision of a choice that takes another one back
_LONGEST = 100  # signs of a name or an id


@dataclass(frozen=True)
class Choice:
    """One decision of one person on one filter.

    Attributes:
        id: made where the person decided; nobody else's.
        decision: keep, drop, unknown (the person does not know), or undo.
        by: who decided. at: when it was stored, by the server's clock, ISO 8601; "" where it is not yet.
        lens: which view of the filter was open. undoes: the id of the choice that is taken back.
        blind: whether the machine's score was hidden from the person.
        number: its place in the log that it is in.
    """

    id: str
    layer: str
    channel: int
    decision: str
    by: str
    at: str = ""
    lens: str = ""
    undoes: str | None = None
    blind: bool = False
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("id", "by"):
            text = getattr(self, name)
            if not (isinstance(text, str) and text.strip() and text.isprintable() and len(text) <= _LONGEST):
                raise ValueError(f"{name} {text!r} is no name of 1 to {_LONGEST} printable signs")
        if self.decision not in (*ANSWERS, UNDO):
            raise ValueError(f"decision {self.decision!r} is none of {', '.join((*ANSWERS, UNDO))}")
        if self.lens not in ("", *LENSES):
            raise ValueError(f"lens {self.lens!r} is none of {', '.join(LENSES)}")
        if (self.decision == UNDO) != bool(self.undoes):
            raise ValueError("undoes names the choice that an undo takes back, and stands in no other")

    @property
    def filter(self) -> tuple[str, int]:
        """Which filter it is on: layer and channel."""
        return self.layer, self.channel

    def says(self) -> tuple[Any, ...]:
        """What two choices of one id must share."""
        return self.layer, self.channel, self.decision, self.by


@dataclass(frozen=True)
class Binding:
    """What a log is of: a model's key, the sha256 of its weights, the digest of its structure."""

    model: str
    sha256: str
    recipe: str

    def key(self, owner: str) -> str:
        """The key of the log that ``owner`` writes."""
        return f"{self.model}/review/{owner}/{self.sha256[:12]}"

    def holds(self, sha256: str | None, recipe: str | None) -> bool:
        """Whether a net of these is the one that the log is of."""
        return (self.sha256, self.recipe) == (sha256, recipe)


@dataclass(frozen=True)
class Log:
    """All choices on the filters of one model, in the order in which they count."""

    binding: Binding
    choices: tuple[Choice, ...]


def bind(db: Database, key: str) -> Binding:
    """What a review of the model ``key`` is bound to.

    Raises:
        ModelError: the graph does not say which weights it has, or nothing of its structure.
    """
    rows = db.read(cypher.load("catalogue/model"), key=key)
    found = rows[0]["model"] if rows else {}
    if not found.get("sha256"):
        raise ModelError(
            f"It is not known which weights {key} has, so no review can be held to them.",
            "Ingest a saved model: cnngraph ingest MODEL --data D --name N",
        )
    return Binding(key, found["sha256"], _recipe_digest(key, found.get("recipe")))


def _recipe_digest(key: str, recipe: str | None) -> str:
    """The digest of the structure that the property ``recipe`` of a Model says; "" where there is none."""
    if not recipe:
        return ""
    what = f"The recipe of {key} in the graph"
    value = read_object(recipe, lambda why: ModelError(f"{what} cannot be read: {why}."))
    return parse_stored(Origin, value, what).digest


def judgeable_layers(db: Database, key: str, layers: Sequence[str] | None = None) -> dict[str, int]:
    """The conv layers whose filters can be judged, in network order, and how many each has.

    Args:
        layers: only these.

    Raises:
        NotFoundError: a layer that is not there. ModelError: a layer without filters, or a model without any.
    """
    rows = db.read(cypher.load("review/filters"), model=key)
    widths = {row["layer"]: row["filters"] for row in rows if row["conv"] and not row["shared_with"]}
    able = {layer: count for layer, count in widths.items() if count}
    names = [row["layer"] for row in rows]
    for layer in layers or ():
        if layer not in names:
            raise NotFoundError(f"There is no layer {layer!r} in {key}.", nearest(layer, able))
        if layer not in widths:
            raise ModelError(f"{layer} of {key} is no conv layer of its own: it has no filters.", nearest(layer, able))
    if not able:
        raise ModelError(
            f"{key} has no feature maps in the graph, so nobody can say which go.",
            "Ingest the model with --view channels or --view both.",
        )
    return {layer: count for layer, count in able.items() if layers is None or layer in layers}


def read_log(db: Database, key: str) -> Log:
    """Everything that was decided on the filters of the model ``key``.

    Raises:
        ConflictError: a log in the graph is of other weights. ModelError: somebody changed a choice by hand.
    """
    binding = bind(db, key)
    reviews, choices = stored_choices(db, key)
    for review in reviews:
        if not binding.holds(review["sha256"], review["recipe"]):
            raise ConflictError(
                f"The review {review['key']} is of other weights than {key} has now.",
                "It decides nothing here. Look at it in Browser, and delete the Review node if it is not wanted.",
            )
    told = [{name: value for name, value in one.items() if name != "review"} for one in choices]
    return Log(binding, parse_stored(tuple[Choice, ...], told, f"The review of {key} in the graph"))


def stored_choices(db: Database, key: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The logs of a model (``key``, ``sha256``, ``recipe``) and all choices in order, as they stand in the graph.

    A choice has the fields of :class:`Choice` that were set, and ``review``, the key of its log.
    """
    (row,) = db.read(cypher.load("review/log"), model=key)
    choices = ({name: value for name, value in one.items() if value is not None} for one in row["choices"])
    return row["reviews"], list(choices)


def append(db: Database, binding: Binding, choices: Sequence[Choice]) -> list[str]:
    """Store choices in one's own log; those that are there are passed over. Returns the ids that were new.

    Args:
        binding: what the choices were made on. choices: in the order in which they were made. One with a time keeps it.

    Raises:
        ConflictError: the model was replaced, deleted or is being written; or an id is there with another content.
        NotFoundError: a filter that the model does not have, or an undo of a choice that is not there.
    """
    owner = db.owner

    def store(tx: neo4j.ManagedTransaction) -> list[str]:
        _require_bound(tx, binding)
        new = _require_new(tx, binding.model, choices)
        if not new:
            return []
        names = {"model": binding.model, "key": binding.key(owner)}
        begun = {**names, "owner": owner, "sha256": binding.sha256, "recipe": binding.recipe}
        first = tx.run(cypher.load("review/begin"), begun).single(strict=True)["choices"]
        rows = [_row(replace(one, number=number)) for number, one in enumerate(new, first + 1)]
        tx.run(cypher.load("review/append"), {**names, "rows": rows}).consume()
        return [one.id for one in new]

    return db.transact(store)


def _require_bound(tx: neo4j.ManagedTransaction, binding: Binding) -> None:
    found = tx.run(cypher.load("review/model"), model=binding.model).single()
    if found is None:
        raise ConflictError(
            f"The model {binding.model} is no longer in the database: nothing was stored.",
            "What was decided before is in the file that delete wrote.",
        )
    if found["status"] != "complete":
        raise ConflictError(
            f"The model {binding.model} is being written or deleted: nothing was stored.", "Try again when it is done."
        )
    if not binding.holds(found["sha256"], _recipe_digest(binding.model, found["recipe"])):
        raise ConflictError(
            f"The model {binding.model} was replaced by another net since the review began: nothing was stored.",
            "What was decided on the old one is in the file that --replace wrote. "
            f"Begin again: cnngraph review {binding.model}",
        )


def _require_new(tx: neo4j.ManagedTransaction, model: str, choices: Sequence[Choice]) -> list[Choice]:
    """Those of ``choices`` that are not there, each once."""
    ids = list({name for one in choices for name in (one.id, one.undoes) if name})
    known = {row["id"]: row for row in tx.run(cypher.load("review/known"), model=model, ids=ids)}
    said = {id_: (row["layer"], row["channel"], row["decision"], row["by"]) for id_, row in known.items()}
    new: list[Choice] = []
    for one in choices:
        if one.id in said:
            if said[one.id] != one.says():
                raise ConflictError(f"The choice {one.id} is there with another content: nothing was stored.")
            continue
        if one.undoes is not None and said.get(one.undoes, ())[:2] + said.get(one.undoes, ())[3:] != (
            one.layer,
            one.channel,
            one.by,
        ):
            raise NotFoundError(
                f"{one.by} takes back the choice {one.undoes} on filter {one.channel} of {one.layer}, and there is "
                "none of that person: nothing was stored."
            )
        said[one.id] = one.says()
        new.append(one)
    _require_filters(tx, model, new)
    return new


def _require_filters(tx: neo4j.ManagedTransaction, model: str, choices: Sequence[Choice]) -> None:
    rows = tx.run(cypher.load("review/filters"), model=model)
    widths = {row["layer"]: row["filters"] for row in rows if row["conv"] and not row["shared_with"]}
    for one in choices:
        if one.layer not in widths:
            raise NotFoundError(f"{model} has no conv layer {one.layer!r}.", nearest(one.layer, widths))
        if not 0 <= one.channel < widths[one.layer]:
            raise NotFoundError(
                f"{one.layer} of {model} has no filter {one.channel}.",
                f"Its filters are numbered from 0 to {widths[one.layer] - 1}.",
            )


def _row(one: Choice) -> dict[str, Any]:
    properties = {name: value for name, value in asdict(one).items() if value is not None}
    for name in ("id", "layer", "channel", "at"):
        properties.pop(name, None)
    return {
        "id": one.id,
        "layer": one.layer,
        "channel": one.channel,
        "at": one.at or None,
        "properties": properties,
    }
