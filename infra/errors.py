"""Errors of the platform.

* PlatformError
  + TransientError
    - ServiceUnavailableError
    - ModelServerError
  + ArtifactNotFoundError
  + UnsafeKeyError
  + SourceError
  + SourceOfflineError
  + SourceChangedError
  + DatasetNotFoundError
  + DatasetDeletedError
  + DatasetRejectedError
  + PersonalDataError
  + PoolUnservedError
  + PreparationError
  + DatasetNameError
  + ModelNotFoundError
  + EvidenceMissingError
  + ChampionChangedError
  + ReproductionError
  + BuildError
  + SmokeTestError
  + SupersededError
  + ReleaseFailedError
  + RouteNotFoundError
  + FlowRunNotFoundError
  + RefusedRequestError
  + StackError
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar


class PlatformError(Exception):
    """Base of every error the platform raises on purpose.

    An error keeps the values it is about in `args` and words them in `__str__`, so it
    survives the pickling that carries it from a worker to the Prefect API.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR


class TransientError(PlatformError):
    """Something that time may cure; the only kind of error a task is retried for."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class ServiceUnavailableError(TransientError):
    """A neighbour (Prefect, MLflow, gateway, store, database) did not answer."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(service, reason)
        self.service = service
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.service} does not answer ({self.reason}); run `make doctor` to see why"


class ModelServerError(TransientError):
    """A model server did not become ready."""

    def __init__(self, program: str, reason: str, log: str) -> None:
        super().__init__(program, reason, log)
        self.program = program
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"the model server {self.program} is not ready: {self.reason}; its log is {self.log}"


class ArtifactNotFoundError(PlatformError):
    """Nothing is stored under the key."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, key: str, store: str) -> None:
        super().__init__(key, store)
        self.key = key
        self.store = store

    def __str__(self) -> str:
        return f"nothing is stored under {self.key!r} in {self.store}"


class UnsafeKeyError(PlatformError):
    """A storage key points outside the store."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"{self.key!r} is no storage key: use a relative path of plain names"


class DatasetNotFoundError(PlatformError):
    """The catalogue has no such version."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, dataset: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(dataset, known)
        self.dataset = dataset
        self.known = known

    def __str__(self) -> str:
        hint = f"; there are: {', '.join(self.known)}" if self.known else ""
        return f"the catalogue has no dataset {self.dataset}{hint}; prepare it first"


class DatasetDeletedError(PlatformError):
    """The dataset version was deleted; its tombstone remains."""

    status = HTTPStatus.GONE

    def __init__(self, dataset: str, when: str, why: str) -> None:
        super().__init__(dataset, when, why)
        self.dataset = dataset
        self.when = when
        self.why = why

    def __str__(self) -> str:
        reason = f" ({self.why})" if self.why else ""
        return f"dataset {self.dataset} was deleted on {self.when}{reason}; use another version"


class PreparationError(PlatformError):
    """A file or dataset did not become a dataset version, because another run failed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file} was not prepared: {self.reason}"


class PersonalDataError(PlatformError):
    """A dataset version holds personal data that is not masked."""

    status = HTTPStatus.CONFLICT

    def __init__(self, dataset: str, columns: tuple[str, ...]) -> None:
        super().__init__(dataset, columns)
        self.dataset = dataset
        self.columns = columns

    def __str__(self) -> str:
        return (
            f"train: dataset {self.dataset} holds personal data in {', '.join(self.columns)}; "
            "mask it with `mask_dataset`, or set `allow_personal_data`, which is recorded "
            "with the model"
        )


class PoolUnservedError(PlatformError):
    """A run asks for a work pool that nobody serves."""

    status = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, pool: str, waited: float) -> None:
        super().__init__(pool, waited)
        self.pool = pool
        self.waited = waited

    def __str__(self) -> str:
        return (
            f"augment: no worker has served the pool {self.pool!r} for {self.waited:.0f} s; run "
            f"`prefect worker start --pool {self.pool}`, or ask with `prefer`"
        )


class SourceError(PlatformError):
    """A source of data cannot be fetched, and trying again would not help."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"ingest: {self.source} cannot be fetched: {self.reason}"


class SourceOfflineError(PlatformError):
    """A source on the internet cannot be reached from here."""

    status = HTTPStatus.FAILED_DEPENDENCY

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"ingest: {self.source} needs the internet, which cannot be reached ({self.reason}); "
            "download the file elsewhere and give its path, or set a mirror"
        )


class SourceChangedError(TransientError):
    """A file was written to while it was being read."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return f"ingest: {self.source} changed while it was read; it is read again when it rests"


class DatasetRejectedError(PlatformError):
    """A dataset version has not passed its validation gate."""

    status = HTTPStatus.CONFLICT

    def __init__(self, dataset: str, reasons: tuple[str, ...]) -> None:
        super().__init__(dataset, reasons)
        self.dataset = dataset
        self.reasons = reasons

    def __str__(self) -> str:
        why = "; ".join(self.reasons) or "it was never validated"
        return (
            f"validation: dataset {self.dataset} may not be used: {why}; correct the data, "
            "or the suite if the data is right, and prepare it again"
        )


class DatasetNameError(PlatformError):
    """A project, dataset or model name has no letter or digit left after normalisation."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r} gives no usable name; use at most 100 letters, digits and underscores"
        )


class ModelNotFoundError(PlatformError):
    """The registry has no such model, version or alias."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return f"the registry has no {self.model}; `python -m flows.training` makes one"


class EvidenceMissingError(PlatformError):
    """A model version lacks the recorded evidence that releases and promotions stand on."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str, missing: str) -> None:
        super().__init__(model, missing)
        self.model = model
        self.missing = missing

    def __str__(self) -> str:
        return (
            f"{self.model} has no {self.missing}: it was not registered by Millrace, so nothing "
            "proves what it should answer; train and register it with `train_model`"
        )


class ChampionChangedError(PlatformError):
    """The alias moved while a challenger was being compared with who held it."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str, alias: str, judged: int | None, current: int | None) -> None:
        super().__init__(model, alias, judged, current)
        self.model = model
        self.alias = alias
        self.judged = judged
        self.current = current

    def __str__(self) -> str:
        return (
            f"promote: {self.model} was compared with version {self.judged}, and {self.alias} "
            f"points to version {self.current} by now; run the promotion again"
        )


class ReproductionError(PlatformError):
    """A stored model does not give the scores it gave when it was trained."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str, difference: float, tolerance: float) -> None:
        super().__init__(model, difference, tolerance)
        self.model = model
        self.difference = difference
        self.tolerance = tolerance

    def __str__(self) -> str:
        return (
            f"registration: {self.model}, loaded back, differs from its training-time scores by "
            f"{self.difference:.3g} (allowed {self.tolerance:.0e}); it is not registered. Look for "
            "state that is not pickled or a library version that changed"
        )


class SmokeTestError(PlatformError):
    """A started model server does not answer what the model answered at training."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model = model
        self.reason = reason

    def __str__(self) -> str:
        return f"release: {self.model} failed its smoke test: {self.reason}; traffic was not moved"


class BuildError(PlatformError):
    """A Bento could not be built."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model = model
        self.reason = reason

    def __str__(self) -> str:
        return f"release: the Bento of {self.model} could not be built: {self.reason}"


class SupersededError(PlatformError):
    """The alias has moved on since the release began."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str, alias: str, current: str) -> None:
        super().__init__(model, alias, current)
        self.model = model
        self.alias = alias
        self.current = current

    def __str__(self) -> str:
        return (
            f"release: {self.alias} points to {self.current}, not to {self.model}; "
            "set the alias on the version that is to be served"
        )


class ReleaseFailedError(PlatformError):
    """The release a caller waited for did not come about."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model = model
        self.reason = reason

    def __str__(self) -> str:
        return f"release: {self.model} is not served: {self.reason}"


class RouteNotFoundError(PlatformError):
    """No version of the model is released."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        super().__init__(model, known)
        self.model = model
        self.known = known

    def __str__(self) -> str:
        served = ", ".join(self.known) or "none yet"
        return (
            f"no version of {self.model!r} is released (served: {served}); "
            "set the alias `production` on a version to release it"
        )


class FlowRunNotFoundError(PlatformError):
    """Prefect knows no such run, or it is one of another flow."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, run: str, flow: str) -> None:
        super().__init__(run, flow)
        self.run = run
        self.flow = flow

    def __str__(self) -> str:
        return f"there is no run {self.run} of {self.flow}; its id is in the answer that started it"


class RefusedRequestError(PlatformError):
    """A run cannot do what it is asked for: it was not started, or has failed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} was refused: {self.reason}"


class StackError(PlatformError):
    """The embedded stack cannot be started or reached."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}"
