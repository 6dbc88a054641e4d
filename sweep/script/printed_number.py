"""Reads numbers as programs print them."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"""(?P<sign>[-+\u2212\u2013]?)
    (?: (?P<whole> [1-9]\d{0,2} (?P<separator>[,'\u2019_\u00a0\u2009\u202f]) \d{3}
                   (?:(?P=separator)\d{3})* (?!\d)
                 | \d+ (?:_\d+)* )
        (?P<fraction>\.\d*)?
      | (?P<bare>\.\d+) )
    (?: [eE](?P<exponent>[-+\u2212]?\d+) | [dD](?P<fortran>[-+]\d+) )?
    (?: (?P<prefix>[kKMGT]) (?![^\W_]) )?
    """,
    re.VERBOSE,
)
_SPECIAL = re.compile(r"(?P<sign>[-+\u2212\u2013]?)(?:(?P<name>nan|inf(?:inity)?)\b|\u221e)", re.IGNORECASE)
_PREFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_AFTER_WHOLE = re.compile(
    r"""[,'\u2019_\u00a0\u2009\u202f]\d  # 1,5 and 12,34,567
      | [ ]\d{3}(?![\w%/:])  # 1 234
      | :\d\d(?!\d)  # 1:23, a time
      | [xXbBoO][0-9a-fA-F]  # 0x1f
    """,
    re.VERBOSE,
)
_AFTER_ANY = re.compile(
    r"""\.\d  # 1.2.3
      | B(?![^\W_])  # billions or bytes
      | [ ]?[x\u00d7*\u00b7][ ]?10(?:\^|\*\*|[\u2070-\u209f\u00b2\u00b3\u00b9])  # 1.5x10^3
    """,
    re.VERBOSE,
)
_EUROPEAN = re.compile(r"[-+\u2212\u2013]?[1-9]\d{0,2}(?:\.\d{3})+,\d")
SEPARATORS = ",'\u2019_\u00a0\u2009\u202f"
_REST = re.compile(rf"[{SEPARATORS}.]\d|[eE][-+\u2212]?\d|[kKMGT](?![^\W_])")
_CUT_EXPONENT = re.compile(r"[\d.][eE][-+\u2212]?\Z")
_EXPONENT = re.compile(r"[-+\u2212]?\d")
_BEGINNING = re.compile(rf"\d[{SEPARATORS}]\Z")
_SIGN_BEFORE = re.compile(r"(?:\A|[\s=:(\[|])[-\u2212]\Z")
_TAIL = re.compile(r"\d{3}(?!\d)")
READABLE = "numbers are printed as 1234.5, 1,234.5, 1e-3, 12.3k or nan, with a decimal point"


def read_number(text: str) -> float | None:
    """The number with which a text starts; None if it starts with none, or with one that is ambiguous.

    Commas, apostrophes, underscores and narrow or non-breaking spaces separate groups of three digits:
    1,234.5 is 1234.5. So 1,5 and 0,250 are ambiguous, as are 1.234,5 and 1 234. A unit after the number is
    ignored (90%, 0.5s), except that k, M, G and T are factors.
    """
    text = text.strip()
    special = _SPECIAL.match(text)
    if special is not None:
        number = float(special["name"] or "inf")
        return -number if _is_minus(special["sign"]) else number
    match = _NUMBER.match(text)
    if match is None or _EUROPEAN.match(text) or _AFTER_ANY.match(text, match.end()):
        return None
    has_whole_only = match["bare"] is None and not match["fraction"] and match["exponent"] is None
    if has_whole_only and _AFTER_WHOLE.match(text, match.end()):
        return None
    digits = match["bare"] or re.sub(r"\D", "", match["whole"]) + (match["fraction"] or "")
    exponent = (match["exponent"] or match["fortran"] or "0").replace("\u2212", "-")
    number = float(f"{digits}e{exponent}") * _PREFIXES.get(match["prefix"] or "", 1.0)
    return -number if _is_minus(match["sign"]) else number


def whole_number(line: str, start: int, end: int, is_begun: bool = False, is_ended: bool = False) -> str:
    """The text of a number in a line, of which a regular expression has matched a part.

    Args:
        line: the line.
        start: where the match starts.
        end: where it ends. An expression such as `[0-9.]+` matches a part of `1,234.5`, `-1.5` and `1e-05`.
        is_begun: whether the number begins there, whatever is before.
        is_ended: whether the number ends there, whatever follows.
    """
    text = line[start:end]
    before = line[:start]
    is_cut = not is_ended and (
        (text[-1:].isdigit() and _REST.match(line, end) is not None)
        or (_CUT_EXPONENT.search(text) is not None and _EXPONENT.match(line, end) is not None)
    )
    if not is_begun and _TAIL.match(text) and _BEGINNING.search(before):
        start = len(before.rstrip("0123456789" + SEPARATORS))
    elif not is_begun and text[:1].isdigit() and _SIGN_BEFORE.search(before):
        start -= 1
    return line[start:] if is_cut else line[start:end]


def _is_minus(sign: str | None) -> bool:
    return sign in ("-", "\u2212", "\u2013")
