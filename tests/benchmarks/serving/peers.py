"""What our server is held against: `python -m tests.benchmarks.serving.peers NAME PORT DIR`.

`empty` reads the body and answers `{}`: what uvicorn alone costs. `fastapi` is what people write
by hand: a request model of named rows, a frame, the pipeline. Both log no requests.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer an empty object."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def fastapi(folder: Path) -> Any:
    """Return an application that asks the pipeline on a frame of the request's rows."""
    import cloudpickle  # noqa: PLC0415 - the empty server has none of these
    import pandas as pd  # noqa: PLC0415 - as above
    from fastapi import FastAPI  # noqa: PLC0415 - as above
    from pydantic import create_model  # noqa: PLC0415 - as above

    model = cloudpickle.loads((folder / "model.pkl").read_bytes())
    # a column is a number or a text, as the first row has it, and may be missing
    sample = json.loads((folder / "one.json").read_text())["rows"][0]
    columns: dict[str, Any] = {
        name: (str | None if isinstance(value, str) else float | None, None)
        for name, value in sample.items()
    }
    row = create_model("Row", **columns)
    rows = create_model("Rows", rows=(list[row], ...))  # type: ignore[valid-type]
    app = FastAPI()

    def predict(body: Any) -> dict[str, Any]:
        frame = pd.DataFrame([each.model_dump() for each in body.rows])
        return {"predictions": model.predict_proba(frame).tolist()}

    predict.__annotations__["body"] = rows
    app.post("/predict")(predict)
    return app


def main() -> None:
    """Serve one of them with uvicorn's defaults."""
    name, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    app = empty if name == "empty" else fastapi(folder)
    lifespan = "off" if name == "empty" else "auto"
    uvicorn.run(app, port=port, log_level="warning", access_log=False, lifespan=lifespan)


if __name__ == "__main__":
    main()
