"""The files that pages refer to: compressed, kept by browsers, and open to everyone."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.dispatcher.dashboard import assets

from ..web.wsgi import respond
from .pages_client import PagesClient

Browse = Callable[..., PagesClient]
STATIC = f"/ui/static/{assets.current_version()}"


@pytest.mark.parametrize("name", sorted(path.name for path in assets.FOLDER.iterdir()))
def test_each_file_is_served_plain_and_compressed(browse: Browse, name: str) -> None:
    client, content = browse(anonymous="none"), (assets.FOLDER / name).read_bytes()
    plain = client.get(f"{STATIC}/{name}")
    assert (plain.status, plain.text) == (200, content.decode())
    assert plain.headers["Content-Type"] == assets.TYPES[Path(name).suffix]
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    status, headers, packed = respond(
        client.tree, "GET", f"{STATIC}/{name}", HTTP_ACCEPT_ENCODING="br, gzip", REMOTE_ADDR="192.0.2.1"
    )
    assert (status, headers["Content-Encoding"], headers["Vary"]) == ("200 OK", "gzip", "Accept-Encoding")
    assert gzip.decompress(packed) == content


@pytest.mark.parametrize("path", sorted(assets.FOLDER.glob("*.css")), ids=lambda path: path.name)
def test_styles_need_nothing_that_the_oldest_browsers_of_the_docs_lack(path: Path) -> None:
    """Safari 17.0 or Firefox 128 ignores a declaration with one of these; without its colours, a page is unreadable."""
    assert not re.findall(r"light-dark\(|@scope|@starting-style|anchor\(|text-box", path.read_text())


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "br, gzip; q=0.0"])
def test_file_is_not_compressed_for_a_client_that_refuses_it(browse: Browse, accepted: str) -> None:
    answer = browse().get(f"{STATIC}/favicon.svg", HTTP_ACCEPT_ENCODING=accepted)
    assert answer.text.startswith("<svg")
    assert "Content-Encoding" not in answer.headers


def test_file_of_another_version_is_not_kept(browse: Browse) -> None:
    answer = browse().get("/ui/static/0123456789ab/favicon.svg")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("name", ["unknown.js", "..%2Fassets.py", "dashboard.css%00", "", "../assets.py"])
def test_other_names_are_unknown(browse: Browse, name: str) -> None:
    path = f"{STATIC}/{name}"
    assert browse().get(path, RAW_URI=path).status == 404


def test_head_of_a_file_has_no_body(browse: Browse) -> None:
    answer = browse().ask("HEAD", f"{STATIC}/dashboard.css")
    assert (answer.status, answer.text) == (200, "")
    assert int(answer.headers["Content-Length"]) == len((assets.FOLDER / "dashboard.css").read_bytes())


def test_version_is_a_digest_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = set()
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    try:
        for name, content in (("a.js", "1"), ("a.js", "2"), ("b.js", "2"), ("notes.txt", "no asset")):
            (tmp_path / name).write_text(content)
            assets.all_assets.cache_clear()
            assets.current_version.cache_clear()
            versions.add(assets.current_version())
    finally:
        assets.all_assets.cache_clear()
        assets.current_version.cache_clear()
    assert len(versions) == 3


def test_scripts_and_styles_refer_only_to_files_beside_them() -> None:
    for name, asset in assets.all_assets().items():
        text = asset.plain.decode()
        imports = re.findall(r"""(?:from|import|import\() *["']([^"']+)["']""", text) if name.endswith(".js") else []
        addresses = re.findall(r"url\(([^)]*)\)|@import", text) if name.endswith(".css") else []
        assert all(each[:2] == "./" and each[2:] in assets.all_assets() for each in imports), name
        assert not addresses, name
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), name
