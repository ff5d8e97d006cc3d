"""Net -> graph -> net: a saved model whose weights come out of the graph alone, compared with the stored one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import ConflictError, ModelError, SpecError, VerificationError
from cnngraph.sources.stored import OtherData, StoredModel, stored

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.database.connection import Database
    from cnngraph.datasets.split_record import SplitRecord
    from cnngraph.network.tables import Details
    from cnngraph.surgery.saved import Saved

__all__ = ["rebuild_from_graph"]

_IMAGES = 4  # random ones, by which the rebuilt and the stored net are compared


def rebuild_from_graph(
    db: Database, name: str, out: Path, *, changed: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Build a model's architecture, carry out the plans of its recipe, fill in the weights of the graph, and save it.

    Args:
        out: folder of the saved model; must not be there.
        changed: keep the net although its weights in the graph are not those that were ingested.

    Returns:
        ``model, path, sha256, tensors`` (how many), ``changed`` (names of the tensors that differ from the stored
        model's), ``identical`` and ``max_abs_diff`` (of the logits; ``None`` where there is no stored model here).

    Raises:
        NotFoundError: there is no such model. ConflictError: it is still loading, or ``out`` is there.
        ModelError: it was ingested without its weights, or without a recipe; or the recipe cannot be read.
        SpecError: weights are missing in the graph, or what it says of the net is not JSON.
        VerificationError: its weights in the graph are not those that were ingested; nothing was saved.
    """
    if out.exists():
        raise ConflictError(f"{out} exists.", "Choose another --out: a saved model is never overwritten.")
    model = stored(db, name)
    progress = progress or Quiet()
    progress.start("Reading the weights")
    state = _state(db, model)
    from cnngraph.database.fingerprint import details_of
    from cnngraph.network.trace import weights_sha256
    from cnngraph.surgery import saved

    details = details_of(model.properties)
    progress.start("Building the net")
    net = _built(model, details, state)
    known = _saved_model(model)
    _put_masks(net, known, progress)
    compared = _compared(known, net)
    same = weights_sha256(net) == details.inputs.get("weights_sha256")
    if not changed and (compared["changed"] or compared["identical"] is False or not same):
        first = f" (first {compared['changed'][0]})" if compared["changed"] else ""
        raise VerificationError(
            f"The weights of {model.key} in the graph are not those that were ingested{first}.",
            "Somebody changed them: add --changed to keep the net that the graph has now.",
        )
    _save(db, model, net, details, known.split if known else None, out)
    written = saved.read_saved(out)
    return {
        "model": model.key,
        "path": str(out),
        "sha256": written.sha256,
        "tensors": len(state),
        **compared,
    }


def _state(db: Database, model: StoredModel) -> dict[str, Tensor]:
    from cnngraph.database.reader import connections_into, read_tensors

    tensors = read_tensors(db, model.key)
    if not tensors.num_rows:
        raise ModelError(f"{model.key} was ingested without its weights.", _how_to_ingest(model))
    from cnngraph.network.tensors import state_of

    return state_of(tensors, lambda layer: connections_into(db, model.key, layer))


def _how_to_ingest(model: StoredModel) -> str:
    """The command that writes the weights too."""
    try:
        source = str(model.folder)
    except ModelError:
        source = "MODEL"
    try:
        data = model.data(OtherData()).name
    except (ModelError, SpecError):  # not known, or damaged: the command is worth showing all the same
        data = "DATA"
    name = model.key.partition("/")[2]
    return f"Write them: cnngraph ingest {source} --data {data} --name {name} --kernels --replace"


def _built(model: StoredModel, details: Details, state: dict[str, Tensor]) -> nn.Module:
    from cnngraph.surgery import rebuilding

    origin = model.origin
    if origin is None:
        raise ModelError(
            f"It is not known how {model.key} is built: it has no recipe.", "Ingest it from a saved model or by name."
        )
    net = rebuilding.rebuild(origin, details.input_shape).model
    rebuilding.fill(net, state, where=f"The graph of {model.key}")
    return net.eval()


def _put_masks(net: nn.Module, known: Saved | None, progress: Progress) -> None:
    """Attach the masks that the stored net has: the graph says how many weights are pruned, not which."""
    from cnngraph.models.masks import drop_unfit, get_masks, set_masks

    set_masks(net, get_masks(known.model) if known else None)
    for name in drop_unfit(net):
        progress.note(f"The mask of {name} was dropped: pruned weights of it are not zero in the graph.")


def _saved_model(model: StoredModel) -> Saved | None:
    """The saved model of the stored one; ``None`` where it is not here: it came from another machine, or live."""
    from cnngraph.surgery import saved

    try:
        return saved.read_saved(model.folder)
    except ModelError:
        return None


def _compared(other: Saved | None, net: nn.Module) -> dict[str, Any]:
    """The rebuilt net beside the saved one: tensors that differ, and the logits of random images."""
    import torch

    from cnngraph.models.outputs import tensors_of

    if other is None:
        return {"changed": [], "identical": None, "max_abs_diff": None}
    theirs = other.model.state_dict()
    changed = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor, theirs[name])]
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)
    images = torch.randn(_IMAGES, *other.input_shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        pairs = list(zip(tensors_of(net(images)).values(), tensors_of(other.model(images)).values(), strict=True))
    apart = max(float((mine.double() - theirs.double()).abs().max()) for mine, theirs in pairs)
    return {"changed": changed, "identical": all(torch.equal(*pair) for pair in pairs), "max_abs_diff": apart}


def _save(
    db: Database, model: StoredModel, net: nn.Module, details: Details, split: SplitRecord | None, out: Path
) -> None:
    from cnngraph.database import cypher
    from cnngraph.surgery import saved

    names = [row["row"]["name"] for row in db.read(cypher.load("read/classes"), key=model.key)]
    saved.save(
        net,
        out,
        built=saved.HowBuilt(input_shape=details.input_shape),
        facts=saved.SavedFacts(
            preprocessing=model.preprocessing,
            classes=() if details.inputs.get("only_classes") else names,
            dataset=details.dataset,
            trained=details.trained,
            split=split,
        ),
    )
