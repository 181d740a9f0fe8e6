"""Signing in with a token: the cookie, where it leads, who may do it, and what it is worth."""

import re
from collections.abc import Callable

import pytest

from pacifica.dispatcher.web.auth import session_cookie

from .pages_client import FORM, PagesClient

Browse = Callable[..., PagesClient]
UNKNOWN = "pd_" + "x" * 43


def test_token_is_kept_in_a_cookie_that_no_script_reads(browse: Browse) -> None:
    client = browse(anonymous="none")
    token = client.token("me", "read")
    answer = client.post("/ui/sign-in", fields={"token": f" {token}\n", "next": "/ui/jobs?state=FAILURE"})
    assert (answer.status, answer.headers["Location"], answer.text) == (303, "/ui/jobs?state=FAILURE", "")
    assert answer.headers["Set-Cookie"] == session_cookie.keeping(token, "", secure=False)
    assert client.get("/tasks", cookie=token).status == 200


def test_cookie_is_for_the_prefix_and_for_https(browse: Browse) -> None:
    client = browse(anonymous="none", root_path="/lab")
    token = client.token("me", "read")
    for secure in (
        {"wsgi.url_scheme": "https", "HTTP_ORIGIN": "https://localhost"},
        {"HTTP_ORIGIN": "https://localhost"},  # A proxy that ends TLS sends plain HTTP.
    ):
        answer = client.post("/lab/ui/sign-in", fields={"token": token, "next": "/"}, **secure)
        assert answer.headers["Set-Cookie"] == session_cookie.keeping(token, "/lab", secure=True)
        assert answer.headers["Location"] == "/lab/"


def test_sign_out_removes_the_cookie(browse: Browse) -> None:
    client = browse()
    answer = client.post("/ui/sign-out", cookie=client.token("me", "read"))
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert answer.headers["Set-Cookie"] == session_cookie.keeping("", "", secure=False)


@pytest.mark.parametrize("token", ["", "nonsense", UNKNOWN, "pd_\r\nSet-Cookie: a=b", "\N{SNOWMAN}" * 5000])
def test_unknown_token_is_refused_with_the_form(browse: Browse, token: str) -> None:
    answer = browse(anonymous="none").post("/ui/sign-in", fields={"token": token})
    assert (answer.status, answer.title) == (401, "Sign in · Pacifica Dispatcher")
    assert 'name="token"' in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "target",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "evil.example",
        "/a\r\nSet-Cookie: a=b",
        "/\t/evil.example",
        "/\N{SNOWMAN}",
    ],
)
def test_sign_in_leads_to_no_other_site(browse: Browse, target: str) -> None:
    client = browse(anonymous="none")
    answer = client.post("/ui/sign-in", fields={"token": client.token("me", "read"), "next": target})
    assert (answer.status, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("path", ["/ui/jobs?text=a%26b&task=lab.*", "/ui/tasks/a%2Fb", "/ui/%C3%A9"])
def test_sign_in_leads_to_the_page_that_was_asked_for(browse: Browse, path: str) -> None:
    client = browse(anonymous="none")
    page = client.get(path, RAW_URI=path)
    assert page.status == 401
    target = re.search(r'name="next" value="([^"]*)"', page.text)
    assert target is not None
    again = client.post("/ui/sign-in", fields={"token": UNKNOWN, "next": target[1].replace("&amp;", "&")})
    assert target[0] in again.text
    fields = {"token": client.token("me", "read"), "next": target[1].replace("&amp;", "&")}
    assert client.post("/ui/sign-in", fields=fields).headers["Location"] == path


@pytest.mark.parametrize(
    "foreign",
    [
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://localhost:8051"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/sign-out", "/dispatch/add"])
def test_page_of_another_site_cannot_send_a_form(browse: Browse, path: str, foreign: dict[str, str]) -> None:
    client = browse(anonymous="none")
    token = client.token("me", "admin")
    answer = client.post(path, cookie=token, fields={"token": token}, **foreign)
    assert (answer.status, "another site" in answer.text) == (403, True)
    assert "Set-Cookie" not in answer.headers
    assert 'name="token"' not in answer.text


def test_cookie_is_valid_for_the_api_and_its_events(browse: Browse) -> None:
    client = browse(anonymous="none")
    token = client.token("me", "read", "dispatch")
    cookie = {"HTTP_COOKIE": f"{session_cookie.NAME}={token}", "HTTP_ACCEPT": "application/json"}
    assert client.ask("GET", "/events", **cookie).status == 200
    body, media = b'{"args": [2, 2]}', {"CONTENT_TYPE": "application/json"}
    assert client.ask("POST", "/dispatch/add", body, **cookie, **media).status == 202
    assert client.ask("DELETE", "/status/0190c0de-0000-7000-8000-000000000000", **cookie).status == 403


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("none", 403), ("same-site", 403), ("", 403)])
def test_get_starts_no_job_for_a_cookie_unless_a_page_of_this_server_asks(
    browse: Browse, site: str, status: int
) -> None:
    """A click on a link in a mail sends a strict cookie, and without HTTPS a browser marks no request."""
    client = browse(anonymous="none")
    token = client.token("me", "read", "dispatch")
    mark = {"HTTP_SEC_FETCH_SITE": site} if site else {}
    cookie = {"HTTP_COOKIE": f"{session_cookie.NAME}={token}", "HTTP_ACCEPT": "text/plain"}
    assert client.ask("GET", "/dispatch/add/2/2", **cookie, **mark).status == status
    assert client.ask("GET", "/dispatch/add/2/2", HTTP_AUTHORIZATION=f"Bearer {token}").status == 200


def caller_of(client: PagesClient, **environ: str) -> str:
    """The caller of the job that a request with these headers dispatches; or the refusal."""
    media = {"CONTENT_TYPE": "application/json", "HTTP_ACCEPT": "application/json"}
    answer = client.ask("POST", "/dispatch/add", b'{"args": [2, 2]}', **{**media, **environ})
    return (
        client.jobs.get(answer.headers["Location"].rpartition("/")[2]).caller if answer.status == 202 else answer.text
    )


def test_header_goes_before_proxy_user_before_cookie_before_anonymous(browse: Browse) -> None:
    client = browse(anonymous="anywhere", proxy_addresses="127.0.0.1", proxy_scopes="dispatch")
    header, cookie = client.token("header", "dispatch"), client.token("cookie", "dispatch")
    ways = {
        "HTTP_AUTHORIZATION": f"Bearer {header}",
        "HTTP_X_FORWARDED_USER": "ada",
        "HTTP_COOKIE": f"{session_cookie.NAME}={cookie}",
    }
    found = []
    while ways:
        found.append(caller_of(client, **ways))
        del ways[next(iter(ways))]
    assert [*found, caller_of(client)] == ["token:header", "user:ada", "token:cookie", ""]


def test_invalid_header_is_refused_although_the_cookie_is_valid(browse: Browse) -> None:
    client = browse(anonymous="anywhere")
    cookie = {"HTTP_COOKIE": f"{session_cookie.NAME}={client.token('cookie', 'admin')}"}
    assert "unknown, expired or revoked" in caller_of(client, HTTP_AUTHORIZATION=f"Bearer {UNKNOWN}", **cookie)


@pytest.mark.parametrize(("anonymous", "caller"), [("anywhere", ""), ("loopback", ""), ("none", "needs a token")])
def test_invalid_cookie_is_the_same_as_none(browse: Browse, anonymous: str, caller: str) -> None:
    client = browse(anonymous=anonymous)
    found = caller_of(client, HTTP_COOKIE=f"{session_cookie.NAME}={UNKNOWN}")
    assert caller in found if caller else found == caller


def test_page_of_a_rebound_name_gains_nothing_by_a_cookie(browse: Browse) -> None:
    client = browse()
    foreign = {"HTTP_HOST": "evil.example", "HTTP_COOKIE": f"{session_cookie.NAME}={UNKNOWN}"}
    assert "must name this machine localhost" in caller_of(client, **foreign)
    valid = {**foreign, "HTTP_COOKIE": f"{session_cookie.NAME}={client.token('me', 'dispatch')}"}
    assert caller_of(client, **valid) == "token:me"


def test_tries_to_sign_in_are_limited(browse: Browse) -> None:
    client = browse(anonymous="none", rate_limit=3)
    statuses = [client.post("/ui/sign-in", fields={"token": UNKNOWN}).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert client.get("/ui/sign-in").status == 200


@pytest.mark.parametrize(
    ("body", "more", "status", "said"),
    [
        (b"token=" + b"x" * 10_000_000, {}, 413, "larger than"),
        (b"token=\xff", {}, 400, "form in UTF-8"),
        (b"token=%FF", {}, 400, "form in UTF-8"),
        (b"&".join(b"a%d=" % n for n in range(2001)), {}, 400, "2000 fields"),
        (b"{}", {"CONTENT_TYPE": "application/json"}, 415, "must be a form"),
        (b"--x", {"CONTENT_TYPE": "multipart/form-data; boundary=x"}, 415, "must be a form"),
        (b"token=a", {"CONTENT_TYPE": f"{FORM}; charset=latin-1"}, 415, "UTF-8"),
    ],
    ids=["too large", "not UTF-8", "not UTF-8, encoded", "too many fields", "JSON", "multipart", "another charset"],
)
def test_form_that_cannot_be_read_is_refused_with_a_page(
    browse: Browse, body: bytes, more: dict[str, str], status: int, said: str
) -> None:
    answer = browse().ask("POST", "/ui/sign-in", body, **{"CONTENT_TYPE": FORM, **more})
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html;charset=utf-8")
    assert said in answer.text
