"""A table in which personal data is planted, to count what a detector finds and imagines.

Every number follows the public definition of its format, its check digits included; the
people are drawn from the lists below and do not exist. The national check digits inside an
account number (FR, ES, NL) and the check letters whose rule is unpublished (PAN) are random.
"""

from __future__ import annotations

import unicodedata
import uuid
from datetime import date, timedelta
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate, islice
from random import Random
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    Maker = Callable[[Random], str | float]


def listed(text: str) -> list[str]:
    """Return what stands between the bars."""
    return text.split("|")


DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FIRST_NAMES = listed(
    "Emma|Olivia|Noah|Liam|James|Mary|Robert|Patricia|Michael|Linda|Grace|Oscar|Ethan|Chloe|"
    "Lukas|Jürgen|Anke|Björn|Søren|Łukasz|Agnieszka|Małgorzata|Zoë|François|Chloé|Jean-Luc|"
    "Élodie|José María|Íñigo|Giulia|Matteo|Chiara|Sofie|Pieter|Aarav|Priya|Ananya|Rahul|Wei|"
    "Mei|Hiroshi|Yuki|Fatima|Omar|Amina|Kwame|Thandiwe|Ngozi|Aoife|Siobhán|Dmitri|Olga|Ana"
)
LAST_NAMES = listed(
    "Smith|Johnson|Brown|Taylor|Wilson|Clarke|O'Brien|McDonald|Müller|Schäfer|Groß|von Weber|"
    "Lindström|Sørensen|Kowalski|Wiśniewska|Dupont|Lefèvre|García López|Núñez|Rossi|Esposito|"
    "D'Angelo|de Vries|van der Berg|Sharma|Patel|Iyer|Reddy|Chen|Wang|Tan|Nakamura|Sato|Khan|"
    "Haddad|Mensah|Nkosi|Okafor|Walsh|Petrov|Costa|Silva|Novák|Young|King|Green|Baker-Lee"
)
MAIL_HOSTS = listed(
    "example.com|example.org|example.net|mail.example.com|post.example.net|uni.example.org"
)
CITIES = listed("Berlin|Madrid|Lyon|Leeds|Austin|Denver|Gdańsk|Rome|Porto|Osaka|Perth|Pune|Malmö")
STREETS = listed(
    "{n} Oak Street|{n} Maple Ave, Apt {k}|{n}{n} W 4th St|Flat {k}, {n} Church Lane|"
    "{n} High Road|{n} St. Mary's Close|Hauptstraße {n}|Lindenweg {n}a, 3. OG|Am Markt {k}|"
    "{n} rue de la Paix|{n} bis avenue Foch|Calle Mayor {n}, {k}º B|Via Roma {n}|"
    "Keizersgracht {n}-{k}|ul. Długa {n}/{k}|PO Box {n}{k}|{n} Elm Dr Unit {k}, Denver"
)
THINGS = listed("Lamp|Desk|Kettle|Backpack|Speaker|Chair|Bottle|Notebook|Charger|Blender|Jacket")
QUALITIES = listed("Oak|Steel|Alpine|Compact|Madison|Victoria|Organic|Wireless|Classic|Georgia")
REMARKS = listed(
    "Arrived {k} days late, box {n} was damaged.|Works fine since update {k}.{k}.1!|ok|"
    "Asked twice about invoice {n}, waiting for the warehouse.|Great value, {k} of 5.|"
    "Returned item {n} on day {k}, refund of {n}.50 issued.|Room {n} at 14:30 was too cold.|"
    "Would buy again|The {k} mm version does not fit, see page {n} of the manual."
)
CONTACTS = listed(
    "please write to {email} about it|call me: {phone}|my number changed to {phone}, thanks|"
    "No answer from support, reach me under {email} or {phone}.|invoice to {email}"
)
MESS = listed("{} (see file)|ref: {}|new: {} / old one unknown|n/a|unknown|-|will follow")
"""What stands around, or in place of, the value of an untidy cell."""

COUNTRY_PHONES = listed(
    "+33 6 2# ## ## ##|+34 61# ### ###|+39 347 ### ####|+31 6 2### ####|+48 60# ### ###|"
    "+46 70 3## ## ##|+91 982## #####|+61 41# ### ###|+65 91## ####|+81 90-3###-####|"
    "+55 11 97###-####|+447712#####7|+491511#######|0033 6 2# ## ## ##|+1 (212) 3##-####"
)
BRITISH_PHONES = listed(
    "07712 ######|07712######|+44 7712 ######|+44 (0)7712 ### ###|020 7### ####|(020) 8### ####|"
    "+44 20 7### ####|0161 4## ####|01614######|0044 7712 ######"
)
GERMAN_PHONES = listed(
    "030 4#######|030/4#######|+49 30 4#######|089-6#######|+49 (0)89 6#######|0151 1#######|"
    "01511#######|+49 170 4######|0170/4######|0221 9######|0049 221 9######"
)
AMERICAN_PHONES = listed(
    "({a}) {x}-####|{a}-{x}-####|{a}.{x}.####|+1 {a} {x} ####|{a}{x}####|+1-{a}-{x}-####|"
    "1 ({a}) {x}-####|{a}-{x}-#### x1##"
)
AREA_CODES = listed("212|415|312|206|617|303|512|702|305|404")

BANK_ACCOUNTS = {"DE": "#" * 18, "GB": "@@@@" + "#" * 14, "NL": "@@@@" + "#" * 10}
BANK_ACCOUNTS |= {"ES": "#" * 20, "FR": "#" * 10 + "*" * 11 + "##"}
"""The national part of an account number: # is a digit, @ a letter, * either."""

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
"""Generator of the checksum, as BIP 173 gives it."""

FISCAL_ODD = "BAKPLCQDREVOSFTGUHMINJWZYX"
"""The letters by what they count for at the odd places of a fiscal code; 0 counts as A."""


# -- check digits: each takes the digits before the check digit and returns it


def weighted(digits: str, weights: Sequence[int]) -> int:
    """Return the sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def luhn(digits: str) -> str:
    """Return the digit that makes the number pass Luhn's test.

    >>> luhn("7992739871")
    '3'
    """
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return str(-(doubled + sum(map(int, digits[-2::-2]))) % 10)


def verhoeff(digits: str) -> str:
    """Return Verhoeff's check digit, a walk through the symmetries of the pentagon.

    >>> verhoeff("236")
    '3'
    """
    place, steps = list(range(10)), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for digit in reversed(digits):
        place = [steps[each] for each in place]
        step = place[int(digit)]
        if check < 5:
            check = (check + step) % 5 + 5 * (step >= 5)
        else:
            check = (check - step) % 5 + 5 * (step < 5)
    return str(check if check >= 5 else -check % 5)


def mod_11_10(digits: str) -> str:
    """Return the check digit of ISO 7064 MOD 11,10.

    >>> mod_11_10("3657426180")
    '9'
    """
    product = 10
    for digit in digits:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return str((11 - product) % 10)


def mod_97(country: str, account: str) -> str:
    """Return the two check digits of an IBAN.

    >>> mod_97("GB", "WEST12345698765432")
    '82'
    """
    number = "".join(str(int(each, 36)) for each in account + country + "00")
    return f"{98 - int(number) % 97:02}"


def fiscal_letter(code: str) -> str:
    """Return the sixteenth character of an Italian fiscal code.

    >>> fiscal_letter("RSSMRA85T10A562")
    'S'
    """
    letters = [LETTERS[int(each)] if each.isdigit() else each for each in code]
    odd, even = map(FISCAL_ODD.index, letters[::2]), map(LETTERS.index, letters[1::2])
    return LETTERS[(sum(odd) + sum(even)) % 26]


def bech32_checksum(values: Sequence[int]) -> list[int]:
    """Return the six five-bit values that close a bitcoin address of BIP 173."""
    check = 1
    for value in (3, 3, 0, 2, 3, *values, 0, 0, 0, 0, 0, 0):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(BECH32_GENERATOR):
            check ^= generator * (top >> bit & 1)
    return [(check ^ 1) >> 5 * (5 - each) & 31 for each in range(6)]


# -- parts of values


def fill(draw: Random, template: str) -> str:
    """Return the template with # as a random digit, @ as a letter and * as either."""
    signs = {"#": DIGITS, "@": LETTERS, "*": DIGITS + LETTERS}
    return "".join(draw.choice(signs[each]) if each in signs else each for each in template)


def grouped(draw: Random, text: str, sizes: Sequence[int], separators: Sequence[str]) -> str:
    """Return the text in groups of these sizes, with one of the separators between them."""
    parts = iter(text)
    return draw.choice(separators).join("".join(islice(parts, size)) for size in sizes)


def any_case(draw: Random, text: str) -> str:
    """Return the text, in lower case one time in six."""
    return text.lower() if draw.random() < 1 / 6 else text


def plain(name: str) -> str:
    """Return the name in the letters a to z, as mail systems and registers want it.

    >>> plain("Łukasz O'Groß")
    'lukaszogross'
    """
    latin = name.lower().translate({ord("ł"): "l", ord("ø"): "o", ord("ß"): "ss"})
    return "".join(each for each in unicodedata.normalize("NFKD", latin) if "a" <= each <= "z")


def wording(draw: Random, templates: Sequence[str]) -> str:
    """Return one of the templates with a number of up to three digits and a small one."""
    return draw.choice(templates).format(n=draw.randrange(1, 400), k=draw.randrange(1, 9))


def day(draw: Random, first: int, last: int) -> date:
    """Return a day of the years from `first` to `last`."""
    start = date(first, 1, 1)
    return start + timedelta(days=draw.randrange((date(last + 1, 1, 1) - start).days))


def birthday(draw: Random) -> date:
    return day(draw, 1930, 2008)


# -- makers of one value


def one_of(*values: str) -> Maker:
    """Return a maker that draws one of the values."""
    return lambda draw: draw.choice(values)


def like(*templates: str) -> Maker:
    """Return a maker that fills one of the templates."""
    return lambda draw: fill(draw, draw.choice(templates))


def between(low: float, high: float, decimals: int) -> Maker:
    """Return a maker of numbers between the two."""
    return lambda draw: round(draw.uniform(low, high), decimals)


# -- personal data


def first_name(draw: Random) -> str:
    return draw.choice(FIRST_NAMES)


def last_name(draw: Random) -> str:
    return draw.choice(LAST_NAMES)


def full_name(draw: Random) -> str:
    first, last = first_name(draw), last_name(draw)
    return draw.choice((f"{first} {last}",) * 3 + (f"{last}, {first}", f"{first} {last}".upper()))


def username(draw: Random) -> str:
    first, last = plain(first_name(draw)), plain(last_name(draw))
    number = draw.randrange(100)
    handles = (f"{first[0]}{last}", f"{first}.{last}", f"{first}_{number}", f"{last}{number}")
    return draw.choice((*handles, f"x{first.title()}{number}x", f"{first}{last[0]}"))


def email(draw: Random) -> str:
    local = username(draw) + draw.choice(("", "", "", "+shop", "-2"))
    return any_case(draw, f"{local}@{draw.choice(MAIL_HOSTS)}")


def american_phone(draw: Random) -> str:
    area = draw.choice(AREA_CODES)
    exchange = f"{draw.choice('2346789')}{draw.randrange(20, 99)}"
    return fill(draw, draw.choice(AMERICAN_PHONES).format(a=area, x=exchange))


def payment_card(draw: Random) -> str:
    separators = ("", " ", "-")
    if draw.random() < 0.2:  # American Express
        digits = fill(draw, draw.choice(("34", "37")) + "#" * 12)
        return grouped(draw, digits + luhn(digits), (4, 6, 5), separators)
    mastercard = (f"5{draw.randrange(1, 6)}##", str(draw.randrange(2221, 2721)))
    digits = fill(draw, draw.choice(("4###", "4###", *mastercard)) + "#" * 11)
    return grouped(draw, digits + luhn(digits), (4, 4, 4, 4), separators)


def iban(draw: Random) -> str:
    country = draw.choice(list(BANK_ACCOUNTS))
    account = fill(draw, BANK_ACCOUNTS[country])
    number = country + mod_97(country, account) + account
    fours = [4] * (len(number) // 4) + [len(number) % 4] * (len(number) % 4 > 0)
    return any_case(draw, grouped(draw, number, fours, ("", " ")))


def social_security(draw: Random) -> str:
    area = draw.choice((draw.randrange(1, 666), draw.randrange(667, 900)))
    digits = f"{area:03}{draw.randrange(1, 100):02}{draw.randrange(1, 10_000):04}"
    return grouped(draw, digits, (3, 2, 4), ("-", "-", "-", " ", ""))


def taxpayer(draw: Random) -> str:
    group = draw.choice([*range(50, 66), *range(70, 89), *range(90, 93), *range(94, 100)])
    return grouped(draw, fill(draw, f"9##{group}####"), (3, 2, 4), ("-", "-", "-", " ", ""))


def ipv4(draw: Random) -> str:
    address = IPv4Address(draw.getrandbits(32))
    return str(address) if address.is_global and not address.is_multicast else ipv4(draw)


def ipv6(draw: Random) -> str:
    prefix = draw.choice((0x2001_0DB8, 0x2A02_8108, 0x2600_1700, 0x2409_4072))
    address = IPv6Address(prefix << 96 | draw.getrandbits(32) << 64 | draw.getrandbits(64))
    short = IPv6Address(int(address) & ~(0xFFFF_FFFF << 32))
    return draw.choice((str(address), str(short), address.exploded, str(address).upper()))


def user_address(draw: Random) -> str:
    return draw.choice((ipv4, ipv4, ipv6))(draw)


def mac(draw: Random) -> str:
    digits = f"{draw.getrandbits(48) & ~(1 << 40):012X}"  # the bit of addresses of groups is off
    if draw.random() < 0.25:
        return grouped(draw, digits, (4, 4, 4), (".",)).lower()
    return any_case(draw, grouped(draw, digits, (2,) * 6, (":", ":", "-")))


def nhs(draw: Random) -> str:
    digits = fill(draw, draw.choice("446") + "#" * 8)
    check = -weighted(digits, range(10, 1, -1)) % 11
    if check == 10:
        return nhs(draw)
    return grouped(draw, f"{digits}{check}", (3, 3, 4), (" ", "-", ""))


def nino(draw: Random) -> str:
    prefix = draw.choice("ABCEGHJKLMNOPRSTWXYZ") + draw.choice("ABCEGHJKLMNPRSTWXYZ")
    if prefix in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
        return nino(draw)
    number = fill(draw, prefix + "######") + draw.choice("ABCD")
    return any_case(draw, grouped(draw, number, (2, 2, 2, 2, 1), ("", " ")))


def nif(draw: Random) -> str:
    number = draw.randrange(1, 100_000_000)
    letter = "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]
    return any_case(draw, f"{number:08}{draw.choice(('', '', '-'))}{letter}")


def fiscal_code(draw: Random) -> str:
    def three(name: str, *, given: bool) -> str:
        consonants = [each for each in name if each not in "AEIOU"]
        if given and len(consonants) > 3:
            del consonants[1]
        vowels = [each for each in name if each in "AEIOU"]
        return "".join([*consonants, *vowels, *"XXX"][:3])

    names = three(plain(last_name(draw)).upper(), given=False)
    names += three(plain(first_name(draw)).upper(), given=True)
    born, town = birthday(draw), f"{draw.choice('ABCDEFGHIL')}{draw.randrange(1, 1000):03}"
    day_and_sex = born.day + draw.choice((0, 40))
    code = f"{names}{born:%y}{'ABCDEHLMPRST'[born.month - 1]}{day_and_sex:02}{town}"
    return any_case(draw, code + fiscal_letter(code))


def pesel(draw: Random) -> str:
    born = birthday(draw)
    month = born.month + 20 * (born.year >= 2000)
    digits = fill(draw, f"{born:%y}{month:02}{born.day:02}####")
    return f"{digits}{-weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}"


def pan(draw: Random) -> str:
    initial = plain(last_name(draw))[0].upper()
    return any_case(draw, fill(draw, f"@@@P{initial}{draw.randrange(1, 10_000):04}@"))


def aadhaar(draw: Random) -> str:
    digits = fill(draw, draw.choice("23456789") + "#" * 10)
    return grouped(draw, digits + verhoeff(digits), (4, 4, 4), (" ", " ", "-", ""))


def nric(draw: Random) -> str:
    born, foreign = birthday(draw), draw.random() < 0.3
    digits = fill(draw, f"{born:%y}#####")
    late = born.year >= 2000
    check = (weighted(digits, (2, 7, 6, 5, 4, 3, 2)) + 4 * late) % 11
    letter = ("XWUTRQPNMLK" if foreign else "JZIHGFEDCBA")[check]
    return any_case(draw, ("FG" if foreign else "ST")[late] + digits + letter)


def tax_file_number(draw: Random) -> str:
    digits = fill(draw, draw.choice("123456789") + "#" * 7)
    check = weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9)) % 11
    if check == 10:
        return tax_file_number(draw)
    return grouped(draw, f"{digits}{check}", (3, 3, 3), (" ", " ", "-", ""))


def personnummer(draw: Random) -> str:
    born = birthday(draw)
    digits = fill(draw, f"{born:%y%m%d}###")
    number = digits + luhn(digits)
    century = draw.choice(("", str(born.year)[:2]))
    return f"{century}{number[:6]}{draw.choice(('-', '-', ''))}{number[6:]}"


def steuer_id(draw: Random) -> str:
    digits = draw.sample(DIGITS, 10)  # one of the first ten digits stands there twice
    digits[draw.randrange(1, 10)] = digits[0]
    first = draw.sample(digits, 10)
    if first[0] == "0":
        return steuer_id(draw)
    return "".join(first) + mod_11_10("".join(first))


def printed_steuer_id(draw: Random) -> str:
    return grouped(draw, steuer_id(draw), (2, 3, 3, 3), (" ", ""))


def wallet(draw: Random) -> str:
    if draw.random() < 0.5:
        values = [0, *(draw.randrange(32) for _ in range(32))]
        return "bc1" + "".join(BECH32[each] for each in values + bech32_checksum(values))
    payload = bytes([draw.choice((0, 5))]) + draw.randbytes(20)
    payload += sha256(sha256(payload).digest()).digest()[:4]
    number, signs = int.from_bytes(payload, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        signs = BASE58[rest] + signs
    return "1" * (len(payload) - len(payload.lstrip(b"\0"))) + signs


def home_postcode(draw: Random) -> str:
    british = f"{draw.choice(('LS', 'M', 'SW', 'EH', 'CF', 'B'))}{draw.randrange(1, 20)} "
    british += fill(draw, "#") + "".join(draw.choices("ABDEFGHJLNPQRSTUWXYZ", k=2))
    dutch = fill(draw, f"{draw.randrange(1000, 9999)} @@")
    return draw.choice((british, british, british.lower().replace(" ", ""), dutch))


def driver_licence(draw: Random) -> str:
    """Return a licence as California, New York, Texas, Florida or Illinois number them."""
    formats = ("@#######", "### ### ###", "########", "@###-###-##-###-#", "@###-####-####")
    return any_case(draw, fill(draw, draw.choice(formats)))


def bank_account(draw: Random) -> str:
    return fill(draw, "#" * draw.choice((8, 9, 10, 10, 12)))


def comment(draw: Random) -> str:
    if draw.random() < 0.95:
        return wording(draw, REMARKS)
    phone = draw.choice((american_phone, like(*BRITISH_PHONES), like(*GERMAN_PHONES)))(draw)
    contact = draw.choice(CONTACTS).format(email=email(draw), phone=phone)
    return f"{wording(draw, REMARKS)} {contact}"


# -- what only looks like it


def order_number(draw: Random) -> str:
    digits = fill(draw, draw.choice("45") + "#" * 14)
    return f"{digits}{(int(luhn(digits)) + draw.randrange(1, 10)) % 10}"


def isbn(draw: Random) -> str:
    digits = fill(draw, "978#########")
    check = -weighted(digits, (1, 3) * 6) % 10
    return grouped(draw, f"{digits}{check}", (3, 1, 4, 4, 1), ("", "-"))


def version(draw: Random) -> str:
    numbers = ".".join(str(draw.randrange(13)) for _ in range(draw.choice((2, 3, 3, 3, 4))))
    return draw.choice(("", "", "", "v")) + numbers + draw.choice(("", "", "-rc2", "-beta.1"))


def company_number(draw: Random) -> str:
    country, size, rule = draw.choice((("DE", 8, mod_11_10), ("IT", 10, luhn)))
    digits = fill(draw, "#" * size)
    return f"{country}{digits}{(int(rule(digits)) + draw.randrange(1, 10)) % 10}"


def price(draw: Random) -> float:
    return round(draw.lognormvariate(3.5, 1), 2)


def amount(draw: Random) -> str:
    written = f"{draw.lognormvariate(7.5, 1.5):,.2f}"
    swapped = written.translate({ord(","): ".", ord("."): ","})
    return draw.choice((written, f"${written}", f"{swapped} €", f"-{written}"))


def product(draw: Random) -> str:
    number = draw.choice(("", "", f" {draw.randrange(2, 900)}", " XL"))
    return f"{draw.choice(QUALITIES)} {draw.choice(THINGS)}{number}"


def product_page(draw: Random) -> str:
    return f"https://shop.example.com/p/{draw.randrange(10**6)}/{product(draw)}".replace(" ", "-")


# -- the table

_TELLING: dict[str, tuple[str, Maker]] = {
    "email": ("e-mail address", email),
    "phone": ("US phone number", american_phone),
    "mobile_no": ("UK phone number", like(*BRITISH_PHONES)),
    "iban": ("IBAN", iban),
    "card_number": ("payment card", payment_card),
    "ssn": ("US social security number", social_security),
    "user_ip": ("IP address", user_address),
    "device_mac": ("MAC address", mac),
    "nhs_number": ("UK NHS number", nhs),
    "national_insurance_no": ("UK national insurance number", nino),
    "codice_fiscale": ("Italian fiscal code", fiscal_code),
    "steuer_id": ("German tax id", printed_steuer_id),
    "wallet_address": ("bitcoin address", wallet),
    "date_of_birth": ("date of birth", lambda draw: birthday(draw).isoformat()),
    "first_name": ("first name", first_name),
    "last_name": ("last name", last_name),
    "full_name": ("full name", full_name),
    "street_address": ("street address", lambda draw: wording(draw, STREETS)),
    "home_postcode": ("postcode", home_postcode),
    "username": ("user name", username),
    "home_lat": ("latitude of a home", between(36, 58, 6)),
    "home_lon": ("longitude of a home", between(-9, 24, 6)),
    "passport_no": ("US passport", like("#########", "@########", "A########")),
    "driver_licence": ("US driver licence", driver_licence),
    "bank_account_no": ("US bank account", bank_account),
}
_NEUTRAL: dict[str, tuple[str, Maker]] = {
    "col_07": ("e-mail address", email),
    "field_a": ("international phone number", like(*COUNTRY_PHONES)),
    "attribute_3": ("US phone number", american_phone),
    "x12": ("UK phone number", like(*BRITISH_PHONES)),
    "col_08": ("German phone number", like(*GERMAN_PHONES)),
    "field_b": ("payment card", payment_card),
    "attribute_4": ("IBAN", iban),
    "x13": ("US social security number", social_security),
    "col_09": ("IPv4 address", ipv4),
    "field_c": ("IPv6 address", ipv6),
    "attribute_5": ("MAC address", mac),
    "x14": ("UK NHS number", nhs),
    "col_10": ("UK national insurance number", nino),
    "field_d": ("Spanish NIF", nif),
    "attribute_6": ("Italian fiscal code", fiscal_code),
    "x15": ("Polish PESEL", pesel),
    "col_11": ("Indian PAN", pan),
    "field_e": ("Indian Aadhaar", aadhaar),
    "attribute_7": ("Singapore NRIC or FIN", nric),
    "x16": ("Australian TFN", tax_file_number),
    "col_12": ("US ITIN", taxpayer),
    "field_f": ("Swedish personnummer", personnummer),
    "attribute_8": ("German tax id", lambda draw: float(steuer_id(draw))),
    "x17": ("bitcoin address", wallet),
    "comment": ("e-mail address or phone number in 5 % of free texts", comment),
}
_CLEAN: dict[str, Maker] = {
    "col_01": order_number,
    "field_p": lambda draw: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
    "attribute_1": isbn,
    "x01": version,
    "col_02": lambda draw: draw.randrange(1_500_000_000, 1_760_000_000),
    "field_q": lambda draw: draw.randrange(1_500_000_000_000, 1_760_000_000_000),
    "attribute_2": like("@@-####-@@", "@@@-####-@"),
    "x02": lambda draw: f"{draw.getrandbits(160):040x}",
    "col_03": company_number,
    "field_r": like("555-01##-##", "800-####-##"),
    "x03": like("N14###", "N#####", "N####@", "N###@@"),
    "col_04": amount,
    "field_s": product_page,
    "x04": lambda draw: wording(draw, REMARKS),
    "order_date": lambda draw: day(draw, 2019, 2025).isoformat(),
    "price": price,
    "flight_no": like("LH ###", "BA####", "UA ####", "AF##", "U2 ####"),
    "product_name": product,
    "name_of_product": product,
    "city": one_of(*CITIES),
    "colour": one_of("red", "navy", "olive", "amber", "rose", "#FF8800", "#0a0a0a"),
    "station_lat": between(36, 58, 4),
    "station_lon": between(-9, 24, 4),
    "account_type": one_of("checking", "savings", "business"),
    "email_opt_in": one_of("yes", "no"),
    "phone_brand": one_of("Apple", "Samsung", "Google", "Nokia", "Xiaomi"),
    "ip_rating": one_of("IP44", "IP54", "IP65", "IP67", "IP68"),
    "card_type": one_of("gold", "silver", "platinum", "basic"),
    "wine_age": lambda draw: draw.randrange(1, 60),
}
_UNTIDY = {"phone", "full_name", "col_07", "field_a", "attribute_4", "x14", "x15", "field_r", "x03"}
"""Columns in which one cell in five holds words around the value, or in place of it."""

PERSONAL: dict[str, str] = {name: kind for name, (kind, _) in (_TELLING | _NEUTRAL).items()}
"""The kind of personal data in each column; half of the names say nothing about it."""

CLEAN: tuple[str, ...] = ("ticket_no", *_CLEAN)
"""Columns without personal data; half of them have the values or the name of some."""


def planted(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Return a table of the columns of `PERSONAL`, then of `CLEAN`.

    Three to five per cent of the cells of a column are missing, except in `ticket_no`, a
    rising number of nine digits. `attribute_8` and the timestamps are floats, as a CSV file
    with gaps gives them. A column does not depend on which others there are.
    """
    seed = int(rng.integers(2**32))  # one draw at a time, `Random` is faster
    makers = {name: make for name, (_, make) in (_TELLING | _NEUTRAL).items()} | _CLEAN
    columns = {
        name: _cells(Random(f"{seed} {name}"), make, rows, untidy=name in _UNTIDY)
        for name, make in makers.items()
    }
    steps = Random(f"{seed} ticket_no").choices((1, 1, 1, 2, 5), k=rows)
    table = pd.DataFrame(columns).assign(ticket_no=list(accumulate(steps, initial=481_220_000))[1:])
    return table[[*PERSONAL, *CLEAN]]


def _cells(draw: Random, make: Maker, rows: int, *, untidy: bool) -> list[str | float | None]:
    missing = set(draw.sample(range(rows), round(draw.uniform(0.03, 0.05) * rows)))
    mess = 0.2 if untidy else 0.0
    cells: list[str | float | None] = []
    for row in range(rows):
        value = make(draw)
        if draw.random() < mess:
            value = draw.choice(MESS).format(value)
        cells.append(None if row in missing else value)
    return cells
