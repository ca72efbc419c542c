"""MLflow, the truth about models: runs, versions, aliases."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    ErrorCode,
)
from requests import RequestException

from infra.errors import EvidenceMissingError, ModelNotFoundError, ServiceUnavailableError
from infra.refs import ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sklearn.pipeline import Pipeline

    from infra.settings import TrackingSettings

PLAN_FILE, PLAN_ABOUT = "plan.pickle", "plan.json"
"""The compiled plan, and what was proven of it and which packages it needs."""

_PLAN = "plan"
_EVIDENCE = "evidence/evidence.json"
_SPLIT = "evidence/split.parquet"


class Tracking:
    """The tracking server and registry the settings name."""

    def __init__(self, settings: TrackingSettings) -> None:
        self._settings = settings
        if settings.url.startswith("sqlite:///"):
            Path(settings.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(settings.url)
        mlflow.set_registry_uri(settings.url)
        self._client = mlflow.MlflowClient()

    # runs

    @contextmanager
    def run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Open a run and yield its id; it ends Failed if the block raises."""
        with _errors(f"experiment {experiment}"):
            run = self._client.create_run(
                self._experiment(experiment), run_name=name, tags=dict(tags)
            )
        run_id: str = run.info.run_id
        try:
            yield run_id
        except BaseException:
            with suppress(MlflowException):  # the error that ended the run is the one to tell
                self._client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
            raise
        with _errors(f"run {run_id}"):
            self._client.set_terminated(run_id)

    def log_candidate(
        self,
        parent: str,
        name: str,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        steps: Mapping[str, Sequence[float]],
        error: str = "",
    ) -> None:
        """Log a candidate as a run nested in `parent`; `steps` are metrics by fold."""
        now = int(time.time() * 1000)
        with _errors(f"run {parent}"):
            run = self._client.create_run(
                self._experiment_of(parent), run_name=name, tags={"mlflow.parentRunId": parent}
            )
            self._client.log_batch(
                run.info.run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()]
                + [
                    Metric(key, value, now, step)
                    for key, values in steps.items()
                    for step, value in enumerate(values)
                ],
                params=[Param(key, str(value)) for key, value in params.items()],
                tags=[RunTag("millrace.error", error)] if error else [],
            )
            status = RunStatus.FAILED if error else RunStatus.FINISHED
            self._client.set_terminated(run.info.run_id, RunStatus.to_string(status))

    @cache  # noqa: B019 - one answer per training, gone with its process
    def _experiment_of(self, run_id: str) -> str:
        experiment: str = self._client.get_run(run_id).info.experiment_id
        return experiment

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log figures of a run."""
        now = int(time.time() * 1000)
        with _errors(f"run {run_id}"):
            self._client.log_batch(
                run_id, metrics=[Metric(key, value, now, 0) for key, value in metrics.items()]
            )

    def log_evidence(self, run_id: str, evidence: Mapping[str, Any], split: pd.DataFrame) -> None:
        """Keep what later proofs need with the run: contract and sample, and the split's rows."""
        with _errors(f"run {run_id}"), TemporaryDirectory() as folder:
            frame = Path(folder) / Path(_SPLIT).name
            split.to_parquet(frame)
            self._client.log_artifact(run_id, str(frame), str(Path(_SPLIT).parent))
            self._client.log_text(run_id, json.dumps(evidence), _EVIDENCE)

    def log_dataset(
        self,
        run_id: str,
        *,
        name: str,
        digest: str,
        source: Mapping[str, Any],
        schema: Sequence[Mapping[str, Any]],
        profile: Mapping[str, Any],
    ) -> None:
        """Note what data a run was given: MLflow shows it as the run's input.

        `digest` names the exact bytes, `source` says where they lie; which rows trained and which
        judged is in the run's split.
        """
        data = Dataset(
            name=name[:500],
            digest=digest[:36],
            source_type="millrace",
            source=json.dumps(source),
            schema=json.dumps({"columns": list(schema)})[:1_000_000],
            profile=json.dumps(profile),
        )
        tags = [InputTag("mlflow.data.context", "training")]
        with _errors(f"run {run_id}"):
            self._client.log_inputs(run_id, [DatasetInput(data, tags)])

    def log_bytes(self, run_id: str, content: bytes, path: str) -> None:
        """Keep a file with the run."""
        with _errors(f"run {run_id}"), TemporaryDirectory() as folder:
            file = Path(folder) / Path(path).name
            file.write_bytes(content)
            self._client.log_artifact(run_id, str(file), str(Path(path).parent))

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; those that begin with `millrace.` go on to its versions."""
        with _errors(f"run {run_id}"):
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Log parameters of a run."""
        with _errors(f"run {run_id}"):
            given = [Param(key[:250], str(value)[:6000]) for key, value in params.items()]
            self._client.log_batch(run_id, params=given)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Keep a text with the run."""
        with _errors(f"run {run_id}"):
            self._client.log_text(run_id, text, path)

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], path: str) -> None:
        """Keep JSON rows with the run."""
        self.log_text(run_id, json.dumps(list(rows), indent=1), path)

    def log_model(
        self,
        run_id: str,
        model: Pipeline,
        *,
        example: pd.DataFrame,
        outputs: object,
        requirements: Sequence[str],
        code: Path,
        probabilities: bool,
    ) -> str:
        """Keep a fitted model with the run and return its URI.

        The model carries the folder `code` and names its exact `requirements`; as a pyfunc it
        answers scores, so that every consumer gets the same numbers.
        """
        with _errors(f"run {run_id}"), mlflow.start_run(run_id=run_id):
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(example, outputs),
                input_example=example.head(5),
                pip_requirements=list(requirements),
                code_paths=[str(code)],
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
                pyfunc_predict_fn="predict_proba" if probabilities else "predict",
            )
        uri: str = info.model_uri
        return uri

    # versions

    def register(
        self, run_id: str, model_uri: str, registered_name: str, tags: Mapping[str, str]
    ) -> ModelRef:
        """Make a logged model the next version of `registered_name`; lineage goes with it.

        Registering the same logged model again gives the version it has.
        """
        with _errors(f"model {registered_name}"):
            self._ensure_model(registered_name)
            for version in self._client.search_model_versions(f"name='{registered_name}'"):
                if version.run_id == run_id:
                    return ModelRef.from_registered(registered_name, int(version.version))
            version = self._client.create_model_version(
                registered_name,
                model_uri,
                run_id=run_id,
                tags=dict(tags),
                model_id=model_uri.removeprefix("models:/"),
            )
        return ModelRef.from_registered(registered_name, int(version.version))

    def run_of(self, model: ModelRef) -> str:
        """Return the run a version came from, or raise `EvidenceMissingError`."""
        with _errors(f"{model}"):
            version = self._client.get_model_version(model.registered_name, str(model.version))
        if not version.run_id:
            raise EvidenceMissingError(str(model), "run")
        return str(version.run_id)

    def lineage(self, run_id: str) -> dict[str, str]:
        """Return a run's lineage: its tags of our own."""
        with _errors(f"run {run_id}"):
            tags = self._client.get_run(run_id).data.tags
        return {key: value for key, value in tags.items() if key.startswith("millrace.")}

    def evidence(self, run_id: str) -> dict[str, Any]:
        """Return the evidence logged with a run, or raise `EvidenceMissingError`."""
        content: dict[str, Any] = json.loads(self._artifact(run_id, _EVIDENCE).read_text())
        return content

    def split(self, run_id: str) -> pd.DataFrame:
        """Return the hashes of a run's training and holdout rows."""
        return pd.read_parquet(self._artifact(run_id, _SPLIT))

    def log_plan(self, run_id: str, content: bytes | None, about: Mapping[str, Any]) -> None:
        """Keep a compiled plan with the run, and what is to be said of it or of its absence."""
        self.log_text(run_id, json.dumps(about, indent=1), f"{_PLAN}/{PLAN_ABOUT}")
        if content is not None:
            self.log_bytes(run_id, content, f"{_PLAN}/{PLAN_FILE}")

    def plan(self, run_id: str, folder: Path) -> Path | None:
        """Download what `log_plan` kept into `folder`; None for runs of before there were plans."""
        with _errors(f"run {run_id}"):
            if not self._client.list_artifacts(run_id, _PLAN):
                return None
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=_PLAN, dst_path=str(folder)
                )
            )

    def load_model(self, uri: str) -> Pipeline:
        """Load a logged model back."""
        with _errors(uri):
            return mlflow.sklearn.load_model(uri)

    def download(self, model: ModelRef, folder: Path) -> Path:
        """Download a version's files into `folder` and return where they are."""
        with _errors(f"{model}"):
            uri = self._client.get_model_version_download_uri(
                model.registered_name, str(model.version)
            )
            return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))

    def uri(self, model: ModelRef) -> str:
        """Return the address under which MLflow loads a version."""
        return f"models:/{model.registered_name}/{model.version}"

    # aliases

    def version_of(self, registered_name: str, alias: str) -> int | None:
        """Return the version an alias points to, or None."""
        try:
            with _errors(f"model {registered_name}"):
                return int(self._client.get_model_version_by_alias(registered_name, alias).version)
        except ModelNotFoundError:
            return None
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE):  # no such alias
                return None
            raise

    def latest_version(self, registered_name: str) -> int:
        """Return the newest version of a model, or raise `ModelNotFoundError`."""
        with _errors(f"model {registered_name}"):
            found = self._client.search_model_versions(f"name='{registered_name}'")
        if not found:
            raise ModelNotFoundError(f"model {registered_name}")
        return max(int(version.version) for version in found)

    def set_alias(self, model: ModelRef, alias: str) -> None:
        """Point an alias to a version."""
        with _errors(f"{model}"):
            self._client.set_registered_model_alias(
                model.registered_name, alias, str(model.version)
            )

    def aliased(self, aliases: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the version behind each of `aliases`, by alias and registered model."""
        found: dict[str, dict[str, int]] = {alias: {} for alias in aliases}
        token: str | None = None
        with _errors("registry"):
            while True:
                page = self._client.search_registered_models(max_results=200, page_token=token)
                for model in page:
                    for alias in found.keys() & model.aliases.keys():
                        found[alias][model.name] = int(model.aliases[alias])
                token = page.token
                if not token:
                    return found

    def tag_version(self, model: ModelRef, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with _errors(f"{model}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    model.registered_name, str(model.version), key, value
                )

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None
        if self._settings.url.startswith("sqlite"):  # no server keeps the artifacts
            location = (self._settings.artifacts / name).as_uri()
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another run made it in the meantime
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _ensure_model(self, registered_name: str) -> None:
        try:
            self._client.create_registered_model(registered_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _artifact(self, run_id: str, path: str) -> Path:
        with _errors(f"run {run_id}"):
            there = self._client.list_artifacts(run_id, str(Path(path).parent))
            if path not in {each.path for each in there}:
                raise EvidenceMissingError(f"run {run_id}", path)
            return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))


@contextmanager
def _errors(subject: str) -> Iterator[None]:
    """Translate MLflow's errors: what is absent, and a server that does not answer."""
    try:
        yield
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise ModelNotFoundError(subject) from error
        silent = error.error_code == ErrorCode.Name(INTERNAL_ERROR) and "API request" in str(error)
        if silent or error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
            raise ServiceUnavailableError("MLflow", str(error).splitlines()[0][:200]) from error
        raise
    except RequestException as error:
        raise ServiceUnavailableError("MLflow", str(error)[:200]) from error
