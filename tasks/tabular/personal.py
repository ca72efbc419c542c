"""Kinds of personal data: how their values look, what their columns are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

Policy = Literal["drop", "redact", "hash", "token", "generalise"]

SUSPICIOUS = re.compile(r"@|(?:\d[ .()/-]?){7}|[A-Za-z]{2}\d{2}")
"""What a text has that holds one of the kinds that are looked for inside texts."""

_AROUND = 100
"""Characters before and after a mark that are looked at: patterns take long over long texts."""

_MIN_SCORE = 0.4
"""Presidio's score from which a pattern says something by itself."""

_COVERED = 0.8
"""Share of a value's characters that a match must cover for the value to be one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of personal data.

    `recognisers` are presidio's, `strength` is the confidence when all values match. `names`
    matches telling column names in snake case; such a column is found by its name alone if its
    values fully match `plausible`. `inside` kinds are also looked for within longer texts.
    """

    name: str
    policy: Policy
    recognisers: tuple[str, ...] = ()
    strength: float = 0.95
    names: str = r"(?!)"
    plausible: str = r".+"
    inside: bool = False


_DIGITS = r"(?=(?:.*\d){{{0},}}).+"
_PERSON = (
    r"(?:home|customer|client|patient|user|person|member|residence|billing|contact|employee"
    r"|passenger|student|guest|holder|driver|owner|subscriber|borrower|applicant)"
)
_LETTERS = r"(?=\D*$)[^\W\d_][^\n@/]{0,60}"

KINDS = (
    Kind(
        "email",
        "hash",
        ("EmailRecognizer",),
        names=r".*e?_?mail(?:_?addr(?:ess)?)?(?:_\d+)?",
        plausible=r".*@.*",
        inside=True,
    ),
    Kind(
        "credit_card",
        "redact",
        ("CreditCardRecognizer",),
        names=r".*(?:card_?(?:no|num|number)|credit_?card|cc_?(?:no|num|number))|(?:.*_)?pan",
        plausible=_DIGITS.format(13),
        inside=True,
    ),
    Kind(
        "iban",
        "hash",
        ("IbanRecognizer",),
        names=r".*iban.*",
        plausible=_DIGITS.format(12),
        inside=True,
    ),
    Kind(
        "ip_address",
        "generalise",
        ("IpRecognizer",),
        names=r"(?:.*_)?ip(?:_?addr(?:ess)?)?",
        plausible=r"[\da-fA-F.:]+",
    ),
    Kind(
        "mac_address",
        "hash",
        ("MacAddressRecognizer",),
        names=r"(?:.*_)?mac(?:_?addr(?:ess)?)?",
        plausible=r"[\da-fA-F.:-]+",
    ),
    Kind("crypto_wallet", "hash", ("CryptoRecognizer",)),
    Kind(
        "it_fiscal_code",
        "hash",
        ("ItFiscalCodeRecognizer",),
        names=r".*(?:codice_?fiscale|fiscal_?code).*",
    ),
    Kind(
        "es_nif", "hash", ("EsNifRecognizer", "EsNieRecognizer"), names=r"(?:.*_)?(?:nif|nie|dni)"
    ),
    Kind("uk_nino", "hash", ("UkNinoRecognizer",), names=r".*(?:national_?insurance|nino).*"),
    Kind("in_aadhaar", "hash", ("InAadhaarRecognizer",), names=r".*aadhaar.*"),
    Kind("in_pan", "hash", ("InPanRecognizer",), strength=0.85),
    Kind(
        "sg_nric",
        "hash",
        ("SgFinRecognizer",),
        strength=0.85,
        names=r"(?:.*_)?(?:nric|fin_?(?:no|number))",
    ),
    Kind("fi_hetu", "hash", ("FiPersonalIdentityCodeRecognizer",)),
    Kind("us_itin", "hash", ("UsItinRecognizer",), strength=0.85, names=r"(?:.*_)?itin.*"),
    Kind(
        "us_ssn",
        "hash",
        ("UsSsnRecognizer",),
        strength=0.85,
        names=r"(?:.*_)?(?:ssn|social_?security.*)",
        plausible=_DIGITS.format(9),
        inside=True,
    ),
    Kind("uk_nhs", "hash", ("NhsRecognizer",), names=r".*nhs.*", plausible=_DIGITS.format(10)),
    Kind("pl_pesel", "hash", ("PlPeselRecognizer",), names=r".*pesel.*"),
    Kind("se_personnummer", "hash", ("SePersonnummerRecognizer",), names=r".*person(?:al)?_?num.*"),
    Kind("de_tax_id", "hash", ("DeTaxIdRecognizer",), names=r".*(?:steuer_?id|tax_?id).*"),
    Kind(
        "au_tfn",
        "hash",
        ("AuTfnRecognizer", "AuMedicareRecognizer"),
        names=r"(?:.*_)?(?:tfn|tax_?file.*)",
    ),
    Kind(
        "phone",
        "hash",
        ("PhoneRecognizer",),
        strength=0.85,
        names=r"(?:.*(?:phone|mobile)|(?:.*_)?(?:cell|fax|msisdn))(?:_?(?:no|num|number|\d))?",
        plausible=_DIGITS.format(7),
        inside=True,
    ),
    Kind(
        "person_name",
        "redact",
        names=rf"(?:.*_)?(?:(?:first|last|full|middle|given|family|maiden|sur|fore)_?names?|surname|{_PERSON}_name)",
        plausible=_LETTERS,
        strength=0.7,
    ),
    Kind(
        "date_of_birth",
        "generalise",
        names=r"(?:.*_)?(?:dob|date_?of_?birth|birth_?(?:date|day)|born(?:_on)?)",
        plausible=r".*\d{2,4}.*",
        strength=0.9,
    ),
    Kind(
        "postal_address",
        "redact",
        names=rf"(?:.*_)?(?:(?:street|home|postal|mailing|billing|delivery)_?(?:address|addr)|address(?:_?line)?_?\d?|street)|{_PERSON}_address",
        plausible=r"(?=.*[^\W\d_]).*\s.*",
        strength=0.7,
    ),
    Kind(
        "postcode",
        "generalise",
        names=r"(?:.*_)?(?:post_?(?:al_?)?code|zip(?:_?code)?)",
        plausible=r"(?=.*\d)[\w -]{3,10}",
        strength=0.6,
    ),
    Kind(
        "username",
        "hash",
        names=r"(?:.*_)?(?:user_?name|login(?:_?name)?|screen_?name)",
        plausible=r"\S{2,64}",
        strength=0.6,
    ),
    Kind(
        "location",
        "generalise",
        names=rf"(?:.*_)?{_PERSON}_(?:lat(?:itude)?|lon(?:g(?:itude)?)?|gps.*|geo.*)",
        plausible=r"-?\d{1,3}(?:\.\d+)?(?:[,; ]+-?\d{1,3}(?:\.\d+)?)?",
        strength=0.7,
    ),
    Kind(
        "identity_document",
        "hash",
        names=r"(?:.*_)?(?:passport|driv(?:er|ing)s?_?licen[cs]e|licen[cs]e|id_?card|identity_?card|national_?id)(?:_?(?:no|num|number|id))?",
        plausible=_DIGITS.format(5),
        strength=0.7,
    ),
    Kind(
        "bank_account",
        "hash",
        names=r"(?:.*_)?(?:bank_?)?(?:account|acct)_?(?:no|num|number)|bank_?account.*",
        plausible=_DIGITS.format(6),
        strength=0.7,
    ),
)
"""In order of precedence: of two kinds that explain the values alike, the stricter is first."""

BY_NAME = {kind.name: kind for kind in KINDS}


def snake_case(name: str) -> str:
    """Return a column name in lower case with single underscores.

    Examples
    --------
    >>> snake_case("customerEmail Address")
    'customer_email_address'
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def is_named(kind: Kind, column: str) -> bool:
    """Whether a column's name tells the kind."""
    return re.fullmatch(kind.names, snake_case(column)) is not None


def is_plausible(kind: Kind, value: str) -> bool:
    """Whether a value could be of the kind: what a telling name needs to be believed."""
    return re.fullmatch(kind.plausible, value, re.DOTALL) is not None


def spans(kind: Kind, text: str) -> list[tuple[int, int]]:
    """Return where the kind's recognisers find it in a text, as start and end."""
    matches = (
        match
        for recogniser in _recognisers(kind.name)
        for match in recogniser.analyze(text, recogniser.supported_entities, None) or ()
    )
    return [
        (match.start, match.end)
        for match in matches
        if match.score >= _MIN_SCORE and _is_written(kind, text, match.start, match.end)
    ]


def parts(text: str, most: int) -> list[tuple[int, str]]:
    """Return where in a text something looks like personal data, and what is around it."""
    marks = islice(SUSPICIOUS.finditer(text), most)
    return [
        (start := max(0, mark.start() - _AROUND), text[start : mark.end() + _AROUND])
        for mark in marks
    ]


def spans_inside(text: str) -> list[tuple[int, int, str]]:
    """Return where personal data stands within a text, and its kind, in order and apart."""
    found = sorted(
        (offset + start, offset + end, kind.name)
        for offset, part in parts(text, len(text))
        for kind in KINDS
        if kind.inside
        for start, end in spans(kind, part.upper() if kind.name == "iban" else part)
    )
    apart: list[tuple[int, int, str]] = []
    for start, end, kind in found:
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]), apart[-1][2])
        else:
            apart.append((start, end, kind))
    return apart


def is_one(kind: Kind, value: str) -> bool:
    """Whether a value is of the kind and little else."""
    text = value.upper() if kind.name == "iban" else value
    return any(end - start >= _COVERED * len(value) for start, end in spans(kind, text))


_PLAIN_DIGITS = re.compile(r"[1-9]\d*(?:[.,]\d{1,2})?")


def _is_written(kind: Kind, text: str, start: int, end: int) -> bool:
    """Refuse as telephone numbers what counters, prices and parts of identifiers look like."""
    if kind.name != "phone":
        return True
    beside = text[max(0, start - 1) : start] + text[end : end + 1]
    apart = not any(each.isalnum() or each == "-" for each in beside)
    return apart and _PLAIN_DIGITS.fullmatch(text[start:end]) is None


@cache
def _recognisers(kind: str) -> list[EntityRecognizer]:
    """Make the recognisers of a kind; they find by pattern and checksum, without a language."""
    import tldextract.tldextract as domains  # noqa: PLC0415 - seconds, only where looked for
    from presidio_analyzer import predefined_recognizers  # noqa: PLC0415 - as above

    # the e-mail recogniser would fetch the list of top-level domains; one comes along
    domains.TLD_EXTRACTOR = domains.TLDExtract(cache_dir=None, suffix_list_urls=())
    made: list[Any] = [
        getattr(predefined_recognizers, each)() for each in BY_NAME[kind].recognisers
    ]
    return made
