"""Masking stage: find personal data in a version, and make a version without it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue, DatasetEntry, DatasetVersion
from infra.database.engine import open_database
from infra.frames import move_blob, opened_frame
from infra.refs import DatasetRef
from infra.settings import PrivacySettings, get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import masking, pii
from tasks.tabular.errors import MaskingError
from tasks.tabular.inference import infer_file
from tasks.tabular.masking import Mask
from tasks.tabular.personal import Policy

SUFFIX = "_masked"
"""What the name of a masked dataset ends in; its versions and its suite are its own."""


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def find_personal_data(dataset: DatasetRef) -> pii.PersonalDataReport:
    """Look for personal data in a version and record what was found with it.

    Raises
    ------
    DatasetNotFoundError
        If the catalogue has no such version.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.get(dataset)
    with opened_frame(store, version.frame_digest) as path:
        report = pii.find(path, language_model=settings.privacy.language_model)
    catalogue.record_findings(dataset, report.to_json())
    _tell(dataset, report)
    return report


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def mask_dataset(
    dataset: DatasetRef, findings: pii.PersonalDataReport, policies: dict[str, Policy]
) -> DatasetRef:
    """Make a version of `<name>_masked` with the found columns masked; the original stays.

    Parameters
    ----------
    policies : dict of str to policy
        What to do about columns, found or not; other findings get their default policy.

    Raises
    ------
    MaskingError
        If a policy does not suit its column, or the key that hashes and tokens need is missing.
    UnknownColumnError
        If a policy is for a column that is not there.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.get(dataset)
    masks = masking.choose(findings.findings, policies)
    with tempfile.TemporaryDirectory(prefix="millrace-mask-") as folder:
        target = Path(folder) / "masked.parquet"
        with opened_frame(store, version.frame_digest) as path:
            missing = masking.mask_file(path, target, masks, _key(settings.privacy))
        schema = infer_file(target, missing)
        left = pii.find(
            target,
            language_model=settings.privacy.language_model,
            # what redaction within texts has left is personal data like any other
            masked={name: mask.policy for name, mask in masks.items() if not mask.inside},
        )
        digest = move_blob(store, "frames", target)
    entry = _derived(version, digest, schema.to_json(), masks)
    masked = catalogue.add(dataset.project, f"{dataset.name}{SUFFIX}", entry).ref
    catalogue.record_findings(masked, left.to_json())
    _tell(masked, left)
    get_run_logger().info(
        "%s: %s", masked, ", ".join(f"{name} {mask.policy}" for name, mask in masks.items())
    )
    return masked


def _key(settings: PrivacySettings) -> bytes | None:
    """Return the key, which goes nowhere but into the hash function."""
    if settings.key is None:
        return None
    key = settings.key.get_secret_value().encode()
    if len(key) < masking.MIN_KEY_BYTES:
        raise MaskingError(
            "", "key", f"it has {len(key)} bytes, {masking.MIN_KEY_BYTES} are needed"
        )
    return key


def _derived(
    version: DatasetVersion, digest: str, schema: dict[str, object], masks: dict[str, Mask]
) -> DatasetEntry:
    said = ", ".join(f"{name}: {mask.policy}" for name, mask in sorted(masks.items()))
    return DatasetEntry.derived(
        version,
        "masked from",
        digest,
        schema,
        rows=version.entry.rows,
        notes=(f"masked: {said}",),
    )


def _tell(dataset: DatasetRef, report: pii.PersonalDataReport) -> None:
    logger = get_run_logger()
    if report.unmasked:
        logger.warning("%s holds personal data in %s", dataset, ", ".join(report.unmasked))
    if not report.names_looked_for:
        logger.info("names in texts were not looked for: no language model is installed")
    names = "" if report.names_looked_for else "; names in texts were NOT looked for"
    create_table_artifact(
        key=f"personal-data-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {
                "column": each.column,
                "kind": each.kind,
                "confidence": each.confidence,
                "share": each.share,
                "found by": each.by,
                "masked": each.masked or f"no; would be: {each.policy}",
            }
            for each in report.findings
        ]
        or [{"column": "all", "kind": "none found"}],
        description=f"Personal data in {dataset}, on {report.sampled:,} rows{names}",
    )
