"""The model all servers answer with, fitted once: `python -m tests.benchmarks.serving.model DIR`.

A process of its own fits it, so that no measured process has ever trained. Below the folder lie
afterwards the Bento, the pipeline as MLflow and a plain application load it, and the requests.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import infer_signature

from infra.provenance import ROOT
from infra.serving import bentos
from infra.tracking import PLAN_ABOUT, PLAN_FILE
from tasks.tabular import packing
from tasks.tabular.compiled import compile_proven, dump_plan
from tasks.tabular.evidence import json_rows
from tasks.tabular.features import usable
from tasks.tabular.learners import LEARNERS, make_model
from tasks.tabular.problem import Problem, identify
from tasks.tabular.schema import Schema, conform, infer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

MODEL, TARGET = "adult", "income"
TRAINED, PROVEN, MANY = 20_000, 2_000, 1_000


def main(folder: Path) -> None:
    """Fit the model and lay out everything the servers need."""
    table = pd.read_csv(ROOT / "infra" / "local" / "data" / "adult.csv.gz")
    problem, schema = identify(table, TARGET, None), usable(infer(table), TARGET)
    model = make_model(
        LEARNERS["lightgbm"], {"n_estimators": 300}, problem, schema, seed=0, threads=1
    ).pipeline
    model.fit(conform(table[:TRAINED], schema), table[TARGET][:TRAINED])
    # rows the model has not seen
    unseen = table[TRAINED:][list(schema.names)].reset_index(drop=True)
    _lay_out_bento(folder, model, schema, problem, unseen)
    _lay_out_peers(folder, model, unseen)
    _write_requests(folder, unseen[:MANY])
    _write_native(folder, model, unseen[:MANY])


def _lay_out_bento(
    folder: Path, model: Pipeline, schema: Schema, problem: Problem, unseen: pd.DataFrame
) -> None:
    compiled = compile_proven(model, schema, problem, unseen[:PROVEN])
    assert compiled.plan is not None, compiled.reason
    files, plan = folder / "files", folder / "plan"
    files.mkdir()
    plan.mkdir()
    with packing.own_code(ROOT / "tasks") as code:
        shutil.copytree(code, files / "code" / "tasks")
    (plan / PLAN_FILE).write_bytes(dump_plan(compiled.plan))
    about = {"requirements": packing.pinned(compiled.plan.needs)}
    (plan / PLAN_ABOUT).write_text(json.dumps(about))
    manifest = {
        "model": MODEL,
        "version": 1,
        "run_id": "benchmark",
        "title": "LightGBM",
        "threshold": 0.5,
        "sample": json_rows(unseen[:2]),
        "schema": schema.to_json(),
        "problem": problem.to_json(),
    }
    bento = bentos.build(
        bentos.Ingredients(files, plan, manifest, {"model": MODEL}),
        name=MODEL,
        version="v1",
        home=folder,
    )
    (folder / "bento").symlink_to(bento)


def _lay_out_peers(folder: Path, model: Pipeline, unseen: pd.DataFrame) -> None:
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    signature = infer_signature(unseen[:100], model.predict_proba(unseen[:100]))
    with packing.own_code(ROOT / "tasks") as code:
        for name, given in (("mlflow", None), ("mlflow-signed", signature)):
            mlflow.sklearn.save_model(
                model,
                folder / name,
                signature=given,
                pip_requirements=packing.requirements(model),
                code_paths=[str(code)],
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
                pyfunc_predict_fn="predict_proba",
            )


def _write_requests(folder: Path, rows: pd.DataFrame) -> None:
    """Write the bodies: a row as ours and as MLflow's JSON, and many rows in each media type."""
    named = json_rows(rows)
    columns: dict[str, Any] = {each: [row[each] for row in named] for each in rows.columns}
    stream = io.BytesIO()
    arrow = pa.table(columns)
    with pa.ipc.new_stream(stream, arrow.schema) as writer:
        writer.write_table(arrow)
    bodies = {
        "one.json": json.dumps({"rows": named[:1]}).encode(),
        "one.mlflow.json": json.dumps({"dataframe_records": named[:1]}).encode(),
        "many.json": json.dumps({"rows": named}).encode(),
        "many.csv": rows.to_csv(index=False).encode(),
        "many.arrow": stream.getvalue(),
    }
    for name, body in bodies.items():
        (folder / name).write_bytes(body)


def _write_native(folder: Path, model: Pipeline, rows: pd.DataFrame) -> None:
    """Write LightGBM's own model and what it is given: the prepared matrix, categories as codes."""
    booster = model[-1].booster_
    text = booster.model_to_string()
    matrix = _codes(model[:-1].transform(rows), booster.pandas_categorical)
    scores = lightgbm.Booster(model_str=text).predict(matrix, num_threads=1)
    np.testing.assert_array_equal(scores, model.predict_proba(rows)[:, 1])
    (folder / "booster.txt").write_text(text)
    np.save(folder / "matrix.npy", matrix)
    (folder / "probability.json").write_text(json.dumps(float(scores[0])))


def _codes(prepared: pd.DataFrame, categories: list[list[Any]]) -> NDArray[np.float64]:
    """Return the matrix LightGBM makes of the frame, shape (n_rows, n_features)."""
    known, columns = iter(categories), []
    for name in prepared:
        column = prepared[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = column.cat.set_categories(next(known)).cat.codes.to_numpy(float)
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            columns.append(column.to_numpy(float))
    return np.ascontiguousarray(np.column_stack(columns))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
