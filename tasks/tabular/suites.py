"""Expectation suites as people edit them: YAML with Great Expectations' own names."""

from __future__ import annotations

import json
from typing import Any

import yaml
from great_expectations.core import ExpectationSuite
from great_expectations.expectations.registry import list_registered_expectation_implementations
from pydantic.v1 import ValidationError as GxValidationError

from tasks.tabular.errors import SuiteError, suggest

SEVERITIES = {"fail": "critical", "warn": "warning"}
"""What a failing expectation does: it closes the gate, or it is only said."""

_ENTRY = ("type", "severity", "kwargs")

_HEAD = """\
# What every version of {name} must look like. Edit it: it is read anew for every version.
# severity: `fail` rejects the version, `warn` is shown and lets it pass.
# mostly: the share of rows that must comply. The types are Great Expectations' own.
"""


def to_yaml(suite: ExpectationSuite) -> str:
    """Write a suite for people."""
    words = {gx: own for own, gx in SEVERITIES.items()}
    entries = [
        {
            "type": each["type"],
            "severity": words.get(each.get("severity", "critical"), "fail"),
            "kwargs": json.loads(json.dumps(each["kwargs"], default=str)),  # plain values
        }
        for each in suite.to_json_dict()["expectations"]
    ]
    body = yaml.safe_dump(
        {"name": suite.name, "expectations": entries}, sort_keys=False, allow_unicode=True, width=96
    )
    return _HEAD.format(name=suite.name) + body


def from_yaml(content: str | bytes) -> ExpectationSuite:
    """Read a suite that `to_yaml` or a person wrote.

    Raises
    ------
    SuiteError
        If it is no YAML, or an expectation has an unknown type, severity or argument; the
        message names it.
    """
    try:
        loaded = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuiteError(" ".join(str(error).split())) from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("expectations"), list):
        raise SuiteError("it needs a `name` and a list of `expectations`")
    entries = [_entry(place, each) for place, each in enumerate(loaded["expectations"], 1)]
    suite = ExpectationSuite(name=str(loaded.get("name", "suite")), expectations=[])
    for place, entry in enumerate(entries, 1):
        try:
            made = ExpectationSuite(name="one", expectations=[entry]).expectations
        except (GxValidationError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise SuiteError(f"expectation {place} ({entry['type']}): {reason}") from error
        if len(made) != 1:  # some faults are only logged
            raise SuiteError(f"expectation {place} ({entry['type']}): its `kwargs` do not fit")
        suite.expectations.extend(made)
    return suite


def _entry(place: int, entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict) or "type" not in entry:
        raise SuiteError(f"expectation {place} has no `type`")
    for key in entry:
        if key not in _ENTRY:
            raise SuiteError(f"expectation {place}: {suggest(str(key), _ENTRY)}")
    kind = str(entry["type"])
    known = tuple(sorted(list_registered_expectation_implementations()))
    if kind not in known:
        raise SuiteError(f"expectation {place}: there is no {kind!r}; {suggest(kind, known)}")
    kwargs = entry.get("kwargs") or {}
    if not isinstance(kwargs, dict):
        raise SuiteError(f"expectation {place}: `kwargs` are names with values, not {kwargs!r}")
    severity = str(entry.get("severity", "fail"))
    if severity not in SEVERITIES:
        raise SuiteError(f"expectation {place}: severity is `fail` or `warn`, not {severity!r}")
    return {"type": kind, "kwargs": kwargs, "severity": SEVERITIES[severity]}
