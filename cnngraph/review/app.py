"""The page's own server: its addresses, and what each answers. FastAPI is imported here alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader
from pydantic import BaseModel, ConfigDict, Field

from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, NotFoundError, UsageError
from cnngraph.review.judging import Judging
from cnngraph.review.progress import describe_progress

__all__ = ["make_app"]

_STATIC = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_MOST = 5_000  # choices of one request: a whole layer at once
_KEPT = "private, max-age=3600"  # the address names the net and the images, so the picture is always the same


class Told(BaseModel):
    """A choice as the page sends it: who decided and when is the server's to say."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=100)]
    layer: Annotated[str, Field(max_length=1_000)]
    channel: Annotated[int, Field(ge=0, le=10_000_000)]
    decision: Literal["keep", "drop", "unknown", "undo"]
    lens: Literal["", "images", "occurrence", "weights", "serves", "twins", "scores"] = ""
    undoes: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class Batch(BaseModel):
    """Choices in the order in which they were made."""

    model_config = ConfigDict(extra="forbid")

    choices: Annotated[list[Told], Field(max_length=_MOST)]


def make_app(judging: Judging) -> FastAPI:
    """What answers the page; who may ask is the guard's to say (:mod:`cnngraph.review.guard`)."""
    app = FastAPI(title="cnngraph review", docs_url=None, redoc_url=None, openapi_url=None)
    shell = _shell(judging)

    @app.get("/")
    @app.get("/summary")
    @app.get("/layer/{rest:path}")
    def page(rest: str = "") -> HTMLResponse:  # noqa: ARG001  the page itself reads its path
        return HTMLResponse(shell)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        return _static(name)

    @app.get("/api/start")
    def start() -> JSONResponse:
        return JSONResponse(judging.start())

    @app.get("/api/filter")
    def one_filter(layer: str, channel: int) -> JSONResponse:
        return JSONResponse(judging.filter(layer, channel))

    @app.get("/api/grid")
    def grid(layer: str) -> JSONResponse:
        return JSONResponse(judging.grid(layer))

    @app.get("/api/progress")
    def progress(agree: Literal["any", "majority", "all"] = "all") -> JSONResponse:
        return JSONResponse(describe_progress(judging.database, judging.binding.model, agree))

    @app.post("/api/choices")
    def choices(batch: Batch) -> JSONResponse:
        told = [one.model_dump() for one in batch.choices]
        return JSONResponse({"new": judging.store(told), "stored": [one.id for one in batch.choices]})

    def require_pictures(of: str) -> None:
        if of != judging.pictures:
            raise NotFoundError("This is the address of a picture of another model.", "Load the page again.")

    @app.get("/picture/{of}/image")
    def image(of: str, index: int) -> Response:
        require_pictures(of)
        return _picture(judging.lenses.image(index))

    @app.get("/picture/{of}/weights")
    def weights(of: str, layer: str, channel: int) -> Response:
        require_pictures(of)
        return _picture(judging.lenses.weights(layer, channel))

    @app.get("/picture/{of}/face")
    def face(of: str, layer: str, channel: int) -> Response:
        require_pictures(of)
        return _picture(judging.lenses.face(layer, channel))

    _say_errors(app, judging)
    return app


def _shell(judging: Judging) -> str:
    environment = Environment(loader=PackageLoader("cnngraph.review", "templates"), autoescape=True)
    return environment.get_template("page.html").render(model=judging.binding.model, by=judging.by)


@lru_cache(maxsize=32)
def _static(name: str) -> Response:
    path = _STATIC / name
    if path.parent != _STATIC or path.suffix not in _KINDS or not path.is_file():
        return Response("There is no such file.", status_code=404, media_type="text/plain")
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers={"cache-control": "no-cache"})


def _picture(content: bytes | None) -> Response:
    if content is None:
        return Response(status_code=404, media_type="text/plain")
    return Response(content, media_type="image/png", headers={"cache-control": _KEPT})


def _say_errors(app: FastAPI, judging: Judging) -> None:
    """Every error as one line and what to do, with the status by which the page knows whether to try again.

    What the page asked or sent wrongly is 4xx, and it sends that no more; a fault of this program is 500.
    """

    @app.exception_handler(CnngraphError)
    def told(_: Request, error: CnngraphError) -> JSONResponse:
        kinds = {DatabaseError: 503, ConflictError: 409, NotFoundError: 404, UsageError: 422}
        status = next((code for kind, code in kinds.items() if isinstance(error, kind)), 400)
        if status == 503:
            judging.look_again()
        return JSONResponse({"error": error.message, "hint": error.hint}, status_code=status)

    @app.exception_handler(RequestValidationError)
    def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        said = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return JSONResponse({"error": f"This is no choice or filter: {said}.", "hint": ""}, status_code=422)

    @app.exception_handler(Exception)
    def failed(_: Request, error: Exception) -> JSONResponse:
        said = f"The page's server failed: {type(error).__name__}: {error}."
        return JSONResponse({"error": said, "hint": "More stands where cnngraph review runs."}, status_code=500)
