"""The HTTP interface of a trained run: /predict, /health, /metrics, and the page at /."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bigmodel.data.samples import SAMPLES
from bigmodel.experiment import InputError
from bigmodel.inference.outputs import first_of
from bigmodel.inference.predict import format_of
from bigmodel.inference.value import Value
from bigmodel.output import note
from bigmodel.serving.batching import Batcher, FullError, batch_sizes
from bigmodel.serving.bodies import Reading, dump, read
from bigmodel.serving.metrics import CONTENT_TYPE, ServerMetrics

LARGE = 200_000
PAGE = Path(__file__).with_name("page.html")


class Limits(NamedTuple):
    """What a server takes: inputs of a batch and in the queue, bytes of a body, seconds."""

    batch_size: int = 64
    wait: float = 0.002
    body: int = 16_000_000
    queue: int = 1024
    timeout: float = 30.0


def application(run: Value, limits: Limits) -> Starlette:
    """The application, compiled for all sizes of a batch."""
    measured = ServerMetrics(batch_sizes(limits.batch_size))
    batcher = Batcher(
        run.predictor,
        run.apply,
        batch_size=limits.batch_size,
        wait=limits.wait,
        queue=limits.queue,
        measure=measured.batches.add,
    )
    samples = json.loads(run.assets.get(SAMPLES, b"[]"))
    if not batcher.compile(samples):
        note(f"{run.path} has no sample input; the first requests are slow, for they compile")
    about = {
        "run": run.path.resolve().name,
        "step": run.step,
        "kind": run.predictor.kind,
        "inputs": run.predictor.inputs,
        "outputs": run.predictor.outputs,
    }
    reading = Reading(run.predictor.kind, *format_of(run), most=limits.queue)
    shown = dump({**about, "samples": samples}).decode().replace("<", "\\u003c")
    page = PAGE.read_text(encoding="utf-8").replace("{{about}}", shown)

    async def predict(request: Request) -> Response:
        body = await _body(request, limits)
        content_type = request.headers.get("content-type", "")
        query = request.query_params if request.scope["query_string"] else {}
        parts = content_type, query, body, reading
        # A large body takes long, and others are answered meanwhile.
        asked = read(*parts) if len(body) < LARGE else await asyncio.to_thread(read, *parts)
        async with asyncio.timeout(limits.timeout):
            answers = await batcher.answer(asked.inputs)
        predictions = [first_of(each, asked.top) for each in answers.predictions]
        return _json({"predictions": predictions, "warnings": answers.warnings})

    async def counted(request: Request) -> Response:
        began = time.perf_counter()
        status = 500
        try:
            response = await _guarded(predict, request)
            status = response.status_code
            return response
        finally:
            measured.requests[status] += 1
            measured.seconds.add(time.perf_counter() - began)

    async def health(request: Request) -> Response:
        del request
        return _json({"status": "ok", **about})

    async def metrics(request: Request) -> Response:
        del request
        return Response(measured.exposition(batcher.waiting), media_type=CONTENT_TYPE)

    async def index(request: Request) -> Response:
        del request
        return HTMLResponse(page)

    async def refuse(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, HTTPException)
        return _refusal(error)

    async def broken(request: Request, error: Exception) -> Response:
        del request, error
        return _refusal(HTTPException(500, "internal error; the server's output says more"))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        async with batcher.working():
            yield

    return Starlette(
        routes=[
            Route("/", index),
            Route("/predict", counted, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: refuse, Exception: broken},
        lifespan=lifespan,
    )


async def _guarded(predict: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The answer, or why there is none, with the status that HTTP has for it."""
    try:
        return await predict(request)
    except HTTPException as error:
        return _refusal(error)
    except InputError as error:
        return _refusal(HTTPException(422, " ".join(str(error).split())))
    except FullError:
        retry = {"Retry-After": "1"}
        return _refusal(HTTPException(503, "the queue is full; try again later", retry))
    except TimeoutError:
        return _refusal(HTTPException(504, "there was no answer in time; try again with less"))


async def _body(request: Request, limits: Limits) -> bytes:
    """The body of a request.

    Raises:
        HTTPException: 413 where it is too large, 408 where it comes too slowly.
    """
    close = {"Connection": "close"}
    large = HTTPException(413, f"the body is larger than {limits.body:,} bytes", close)
    received = 0
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                received += len(chunk)
                if received <= limits.body:
                    body += chunk
                # Most clients read no answer before they have sent all; but there is an end to it.
                elif received > 4 * limits.body:
                    raise large
    except TimeoutError:
        raise HTTPException(408, "the body came too slowly", close) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early", close) from None
    if received > limits.body:
        raise large
    return bytes(body)


def _json(value: Any) -> Response:
    return Response(dump(value), media_type="application/json")


def _refusal(error: HTTPException) -> Response:
    return Response(
        dump({"error": error.detail}),
        error.status_code,
        dict(error.headers or {}),
        "application/json",
    )
