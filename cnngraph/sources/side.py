"""One of two nets that are compared: a model of the database, or a saved one, which no database needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cnngraph.console import say_all
from cnngraph.errors import NotFoundError, UsageError
from cnngraph.sources.data_choice import list_data_of
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.saved import SavedSource, open_source
from cnngraph.sources.stored import OtherData, StoredModel, stored

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.network.graph import LayerGraph
    from cnngraph.network.matched_layers import Kinship
    from cnngraph.plan import Plan
    from cnngraph.surgery.saved import Saved

__all__ = [
    "Side",
    "came_of",
    "find_kinship",
    "named_twice",
    "open_checkpoint",
    "open_parent",
    "open_side",
    "require_two",
]


@dataclass(frozen=True)
class Side:
    """One of the two nets.

    Attributes:
        name: as it is shown: a key of the database, or a path.
        source: where net and data come from.
        weights: a file whose weights the net gets instead of its own: another checkpoint of it.
    """

    name: str
    source: StoredModel | SavedSource
    weights: Path | None = None

    @property
    def key(self) -> str | None:
        """Of the model in the database; ``None`` of a saved model, or of other weights."""
        return self.source.key if isinstance(self.source, StoredModel) and self.weights is None else None

    @cached_property
    def folder(self) -> Path:
        """Of the saved model. Raises ModelError where the database knows of none, or it is not here."""
        return self.source.folder

    @cached_property
    def saved(self) -> Saved:
        """The net, on the CPU."""
        from cnngraph.surgery.saved import read_saved

        found = read_saved(self.folder)
        if self.weights is not None:
            from cnngraph.models.weights import load_weights

            say_all(load_weights(found.model, self.weights))
        return found

    @cached_property
    def sha256(self) -> str:
        """Of the weights and buffers, names, types and shapes included."""
        from cnngraph.network.trace import weights_sha256

        return weights_sha256(self.saved.model)

    @property
    def graph(self) -> LayerGraph:
        """The net, followed."""
        return self.saved.followed.graph

    @property
    def file_bytes(self) -> int:
        """The size of the saved model on the disk, or of the file of weights; without the weights to rewind to."""
        from cnngraph.surgery.initial_file import INITIAL_FILE

        place = self.weights or self.folder
        if place.is_file():
            return place.stat().st_size
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and file.name != INITIAL_FILE)

    def open_data(self, other: OtherData) -> LoadedModel:
        """The net with the data that it was trained on, or what was typed instead, in the parts that it knows.

        No image is decoded, and its classes need not be the data's.

        Raises:
            ModelError: it is not known which data. NotFoundError, DataError: they cannot be had.
        """
        saved = self.saved
        choice, data, split = list_data_of(saved, self.name, self.source.data(other))
        if self.weights is not None:
            split = split.model_copy(update={"proven": False})
        return LoadedModel(
            saved.model,
            saved.origin.architecture,
            saved.preprocessing,
            data,
            choice,
            saved.trained,
            dict(saved.training),
            self.folder,
            split,
        )


def open_side(typed: str, db: Database | None) -> Side:
    """The model of that name in the database; without one, the saved model, or the bundle with one, of that path.

    Raises:
        NotFoundError: there is none. ConflictError: it is not complete. ModelError: the path is neither.
    """
    if db is None:
        return Side(typed, open_source(typed))
    found = stored(db, typed)
    return Side(found.key, found)


def open_checkpoint(typed: str, of: Side) -> Side:
    """The net of ``of`` with the weights of a file."""
    return Side(typed, of.source, Path(typed))


def open_parent(side: Side, db: Database) -> Side:
    """What a model of the database was made of.

    Raises:
        NotFoundError: it was made of no other model, or that is not in the database.
    """
    from cnngraph.database.lineage import lineage

    ancestors = lineage(db, side.name).ancestors
    if not ancestors:
        raise NotFoundError(
            f"{side.name} was not made of another model of the database, so there is nothing to compare it with.",
            f"Name the other one: cnngraph compare OTHER {side.name.split('/')[-1]}",
        )
    found = stored(db, ancestors[0].model)
    return Side(found.key, found)


def require_two(a: Side, b: Side) -> None:
    """Return if these are two: a comparison with itself cannot fail, so that it would prove nothing.

    Raises:
        UsageError: the same model, or the same folder, is named twice.
    """
    same_key = a.key is not None and a.key == b.key
    same_place = a.key is None and b.key is None and b.weights is None and a.folder.resolve() == b.folder.resolve()
    if same_key or same_place:
        raise named_twice(a.name)


def named_twice(name: str) -> UsageError:
    """The refusal to compare a net with itself."""
    return UsageError(
        f"{name} is named twice: every layer of a net has the similarity 1 to itself.", "Name another model."
    )


def came_of(a: Side, b: Side, db: Database | None) -> bool:
    """Whether ``b`` was made of ``a``: by the lineage of the graph, or by the plans that both were built by."""
    if db is not None and a.key is not None and b.key is not None:
        from cnngraph.database.lineage import lineage

        if a.key in [one.model for one in lineage(db, b.key).ancestors]:
            return True
    return bool(_plans_between(a, b))


def find_kinship(a: Side, b: Side, db: Database | None) -> Kinship:
    """What is known of the two beside their layers: by which rules these are matched."""
    from cnngraph.network.matched_layers import Kinship

    survives: dict[str, str] = {}
    if db is not None and a.key is not None and b.key is not None:
        from cnngraph.database.comparisons import find_survivors

        survives = find_survivors(db, a.key, b.key)
        survives = survives or {old: new for new, old in find_survivors(db, b.key, a.key).items()}
    gone = _changed(a, b) | _new_layers(a, b) | _new_layers(b, a)
    # A model that somebody changed in the graph may name layers that its net has not.
    here = {
        old: new
        for old, new in survives.items()
        if old in a.graph.by_name and new in b.graph.by_name and a.graph.by_name[old].module not in gone
    }
    return Kinship(bool(here) or a.saved.origin.architecture == b.saved.origin.architecture, here, gone)


def _changed(a: Side, b: Side) -> frozenset[str]:
    """The modules in whose place one net has something that the other has not."""
    mine, theirs = a.saved.joins, b.saved.joins
    return frozenset(path for path in {**mine, **theirs} if mine.get(path) != theirs.get(path))


def _plans_between(old: Side, new: Side) -> tuple[Plan, ...]:
    """The plans by which a net of the structure of ``old`` became ``new``; none where it did not."""
    before, after = old.saved.origin, new.saved.origin
    kept, gone = ([[one.identity for one in plan.removes] for plan in origin.plans] for origin in (before, after))
    built_alike = (before.architecture, before.options) == (after.architecture, after.options)
    return after.plans[len(kept) :] if built_alike and gone[: len(kept)] == kept else ()


def _new_layers(old: Side, new: Side) -> frozenset[str]:
    """The modules of ``old`` in whose places ``new`` has the layers that came for whole blocks: of the same name and
    kind, perhaps, and yet others.
    """
    from cnngraph.surgery.layers.replace_block import find_replacements

    plans = _plans_between(old, new)
    replaced = [one for one in plans[0].removes if one.kind == "replace"] if plans else []
    if not replaced:
        return frozenset()
    found = find_replacements(old.graph, old.saved.followed.blocks, replaced)
    return frozenset(path for one in found for path in one.fitted)
