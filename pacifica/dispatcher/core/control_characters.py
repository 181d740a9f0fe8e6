"""Characters that would drive the terminal of a reader, or reorder its text: shown as escapes instead.

They are the control characters C0 and C1 with DEL, the line separators, the bidirectional embeddings, overrides and
isolates, and lone surrogates.

Source: https://www.unicode.org/reports/tr9/ and https://trojansource.codes/trojan-source.pdf
"""

import re

_OTHERS = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_ANY = re.compile(rf"[\x00-\x1f{_OTHERS}]")
_WITHIN_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f{_OTHERS}]")
_IN_JSON = re.compile(rf"[{_OTHERS}]")


def one_line(text: str) -> str:
    r"""The text with every such character as an escape, line breaks as ``\n``."""
    return text if text.isprintable() else _ANY.sub(_escape, text)


def lines(text: str) -> str:
    """The text with escapes; line feeds and tabs are kept."""
    return text if text.isprintable() else _WITHIN_LINES.sub(_escape, text)


def in_json(text: str) -> str:
    """A JSON text with escapes that JSON defines, so that its value is the same; C0 is escaped already."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return "\\n" if code == 0x0A else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
