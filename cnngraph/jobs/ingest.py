"""A named model and named data -> Network -> Neo4j, or a bundle between two machines."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import ModelError, NotFoundError, UsageError
from cnngraph.jobs.session import Session
from cnngraph.network.tables import Network
from cnngraph.network.trace_options import TraceOptions
from cnngraph.settings import split_key
from cnngraph.sources.class_choice import choose_classes
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.description import MASKS_FILE

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.database.writer import WriteOptions

__all__ = [
    "TracedModel",
    "expected_size",
    "from_bundle",
    "map_subject",
    "prepare",
    "store",
    "write_bundle",
]


@dataclass(frozen=True)
class TracedModel:
    """A mapped net with the saved model that belongs to it (a folder), not yet in a database.

    The folder of one that :func:`prepare` made lives as long as it does. ``images_from``: the images that it was mapped
    by; ``None`` of a bundle, which does not say.
    """

    network: Network
    model: Path
    sha256: str
    images_from: ImagesFrom | None = None


def prepare(
    model: ModelChoice, data: DataChoice, mapping: TraceOptions, progress: Progress | None = None, *, yes: bool = False
) -> TracedModel:
    """Open model and data, map the net over the training images.

    Raises:
        NotFoundError, ModelError, DataError: see :func:`open_model`. TraceError: the net cannot be followed.
        UsageError: with its kernels the net would take more than 2 GB in the database, without ``yes``.
    """
    progress = progress or Quiet()
    progress.start("Opening the model and the data")
    subject = open_model(model, data, progress, required="none")  # a map of the net reads no logits
    if not subject.trained:
        progress.note(
            f"{model.name} is untrained: its weights are new, from seed {model.seed}. "
            f"Train it: cnngraph train {model.name} --data {data.name} --out DIR"
        )
    if mapping.only_classes is not None:
        typed = [str(one) for one in mapping.only_classes]
        mapping = replace(mapping, only_classes=choose_classes(typed, subject.data.classes))
    if mapping.kernels and not yes:
        _require_small(subject, mapping)
    network = map_subject(subject, mapping, progress)
    folder = Path(tempfile.mkdtemp(prefix="cnngraph-"))
    prepared = TracedModel(network, folder / "model", subject.sha256, subject.images_from("train"))
    weakref.finalize(prepared, shutil.rmtree, folder, ignore_errors=True)  # at the end of the program at the latest
    save_subject(subject, prepared.model)
    return prepared


def _require_small(subject: LoadedModel, mapping: TraceOptions) -> None:
    """Say the size of a net with all its weights before the images are looked at."""
    from cnngraph.network.sizes import LARGE_GB

    size = expected_size(subject, mapping)
    if size["gigabytes"] > LARGE_GB:
        raise UsageError(
            f"With its kernels the net would take about {size['gigabytes']:.1f} GB in the database "
            f"({size['connections']:,} connections) and {size['minutes']:.0f} minutes.",
            "Add --yes to write it all the same, or leave --kernels out.",
        )


def expected_size(subject: LoadedModel, mapping: TraceOptions) -> dict[str, Any]:
    """What the net will take in the database when it is mapped so: see :func:`cnngraph.network.sizes.estimate`."""
    from cnngraph.network.sizes import estimate

    return estimate(
        subject.followed.graph,
        classes=len(mapping.only_classes or subject.data.classes),
        tensors=len(subject.model.state_dict()) if mapping.kernels else 0,
        **{name: getattr(mapping, name) for name in ("view", "connections", "correlations", "kernels")},
    )


def map_subject(subject: LoadedModel, mapping: TraceOptions, progress: Progress) -> Network:
    """One pass over the training images; the Network's details say everything that decided its values."""
    from cnngraph.datasets.registry import loader
    from cnngraph.jobs.coupling_groups import with_coupling_groups
    from cnngraph.network.trace import trace
    from cnngraph.training.execution import pick_device

    place = pick_device(mapping.device)
    batches = loader(subject.data.train, batch_size=32)
    network = trace(subject.model.to(place), batches, mapping, classes=subject.data.classes, progress=progress)
    network = with_coupling_groups(network, subject.model.cpu(), progress)
    return network.with_details(
        architecture=subject.architecture,
        preprocessing=subject.preprocessing.model_dump(mode="json"),
        dataset=subject.choice.name,
        trained=subject.trained,
        inputs=network.details.inputs | {"data": subject.choice.model_dump(mode="json")} | _rule_of(subject),
    )


def _rule_of(subject: LoadedModel) -> dict[str, int]:
    """The rule by which images were chosen for mapping, where it is not the one of before there was a choice."""
    from cnngraph.datasets.former_split import RULE

    split = subject.split
    if split is None or split.rule == RULE or subject.data.taken_from.get("train") != "split":
        return {}
    return {"split": split.rule}


def save_subject(subject: LoadedModel, folder: Path) -> None:
    """Save the net with everything that is needed to open it again."""
    from cnngraph.surgery import saved

    saved.save(
        subject.model,
        folder,
        facts=saved.SavedFacts(
            preprocessing=subject.preprocessing,
            classes=subject.data.classes,
            dataset=subject.choice.name,
            training=subject.training,
            trained=subject.trained,
            split=subject.split,
        ),
    )


def store(session: Session, prepared: TracedModel, name: str, how: WriteOptions | None = None) -> dict[str, Any]:
    """Write the Network as ``name`` and keep the saved model in the storage; the counts of what the database holds.

    Raises:
        ConflictError: the name exists with other inputs, or somebody writes it now.
        CnngraphError: it would not fit into the database, or the storage cannot be written or is full; nothing was
            written to the database then.
    """
    from cnngraph.database.limits import check_network_fits
    from cnngraph.database.saved_models import name_saved
    from cnngraph.database.writer import WriteOptions, write_network
    from cnngraph.network.sizes import estimate

    database, progress, how = session.database, session.progress, how or WriteOptions()
    size = estimate(prepared.network)
    progress.note(
        f"{name} has {size['nodes']:,} nodes and {size['relationships']:,} relationships: "
        f"about {size['gigabytes']:.2f} GB and {size['minutes']:.1f} minutes in the database."
    )
    key = split_key(name, session.settings.owner)
    check_network_fits(database, key, prepared.network)  # the writer asks too, but the saved model would be kept then
    content = None if how.dry_run else _keep(database, prepared, key)
    counts = write_network(
        database,
        prepared.network,
        name,
        how,
        saved_sha256=content,
        sha256=prepared.sha256,
        progress=progress,
    )
    if content is not None:
        name_saved(database, key, content)
        _store_nonzero(database, key, database.storage.place(content))
    return counts | {"images_from": prepared.images_from.as_json() if prepared.images_from else None}


def _store_nonzero(database: Database, key: str, saved: Path) -> None:
    """Say on the layers of a model whose saved one has masks what is left of them."""
    if (saved / MASKS_FILE).is_file():  # looked for first: what reads them imports torch, which takes seconds
        from cnngraph.database.catalogue import store_nonzero
        from cnngraph.surgery.mask_files import count_masked

        store_nonzero(database, key, count_masked(saved))


def _keep(database: Database, prepared: TracedModel, key: str) -> str:
    """The sha256 of the content of the saved model, which is in the storage then.

    Where the very net is stored under ``key`` already, its saved model stays the one that it has: another version of
    this program describes the same net in other words.
    """
    from cnngraph.database import catalogue
    from cnngraph.database.fingerprint import fingerprint

    found = catalogue.properties(database, key)
    known = found.get("savedSha256")
    if known in database.storage and found.get("fingerprint") == fingerprint(prepared.network):
        return str(known)
    return database.storage.add(prepared.model)


def write_bundle(prepared: TracedModel, folder: Path) -> None:
    """Write the Network and the saved model as one folder that travels."""
    from cnngraph.network.bundle import write_bundle as write

    write(prepared.network, folder, model=prepared.model)


def from_bundle(path: str) -> TracedModel:
    """Read what :func:`write_bundle` wrote.

    Raises:
        NotFoundError: there is no such folder. ModelError: the folder is no bundle. SpecError: it contradicts itself.
    """
    from cnngraph.models.misnamed import not_a_model
    from cnngraph.network.bundle import read_bundle

    folder = Path(path)
    if folder.is_file():
        raise not_a_model(folder)
    if not folder.is_dir():
        raise NotFoundError(
            f"There is no bundle {path}.", "For a model and data: cnngraph ingest MODEL --data D --name N"
        )
    if not (folder / "network.json").is_file():
        raise ModelError(
            f"{path} is no bundle: it has no network.json.",
            "For a model and data: cnngraph ingest MODEL --data D --name N",
        )
    network = read_bundle(folder)
    return TracedModel(network, folder / "model", str(network.details.inputs["weights_sha256"]))
