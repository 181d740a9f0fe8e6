"""The cookie of a browser that has signed in: which forms of the header are read, and what is set."""

import pytest

from pacifica.dispatcher.web.auth import session_cookie

TOKEN = "pd_" + "a-Z_9" * 8 + "xyz"
OTHER = "pd_" + "b" * 43
OWN = f"{session_cookie.NAME}={TOKEN}"


@pytest.mark.parametrize(
    "header",
    [
        OWN,
        f"theme=dark; {OWN}",
        f"theme=dark;{OWN};lang=en",
        f"; {OWN}  ; x",
        f"{OWN}; {session_cookie.NAME}={OTHER}",
        f"{session_cookie.NAME}=; {OWN}",
        f"a={'x' * 4000}; {OWN}",
        f'broken="; {OWN}',
        f"{OWN}; {'y' * 20_000}",
    ],
)
def test_token_is_found_among_other_cookies(header: str) -> None:
    assert session_cookie.token({"Cookie": header}) == TOKEN


@pytest.mark.parametrize(
    "header",
    [
        "",
        TOKEN,
        f"x{OWN}",
        f"other=x {OWN}",
        f"{OWN}!",
        f"{OWN}a",
        OWN[:-1],
        OWN.upper(),
        f'{session_cookie.NAME}="{TOKEN}"',
        f"{session_cookie.NAME} = {TOKEN}",
        f"a={'x' * session_cookie.MOST}; {OWN}",
    ],
)
def test_other_headers_have_no_token(header: str) -> None:
    assert session_cookie.token({"Cookie": header}) is None


def test_long_header_takes_no_longer_than_its_limit() -> None:
    headers = {"Cookie": f"{session_cookie.NAME}=pd_" * 1_000_000}
    assert session_cookie.token(headers) is None


@pytest.mark.parametrize(
    ("text", "path", "secure", "header"),
    [
        (TOKEN, "", False, f"{OWN}; Path=/; HttpOnly; SameSite=Strict"),
        (TOKEN, "/lab", True, f"{OWN}; Path=/lab; HttpOnly; SameSite=Strict; Secure"),
        ("", "/lab", False, f"{session_cookie.NAME}=; Path=/lab; HttpOnly; SameSite=Strict; Max-Age=0"),
    ],
)
def test_cookie_is_for_this_service_only(text: str, path: str, secure: bool, header: str) -> None:
    assert session_cookie.keeping(text, path, secure=secure) == header
