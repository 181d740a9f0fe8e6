"""The files that pages refer to: styles, scripts and the icon, all from this package.

They are read once per process. Their address has a digest of all of them, so that browsers may keep each forever, and
a module's relative import finds the file of the same version.
"""

import gzip
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cherrypy

from ..web.operation import Operation

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css;charset=utf-8", ".js": "text/javascript;charset=utf-8", ".svg": "image/svg+xml"}

GZIP = re.compile(r"\bgzip\b(?! *; *q=0(?:\.0*)? *(?:,|$))", re.IGNORECASE)
"""Finds that a client accepts gzip (RFC 9110, section 12.5.3)."""


class Asset(NamedTuple):
    """A file: its media type, its bytes, and the same compressed."""

    media: str
    plain: bytes
    packed: bytes


@lru_cache(maxsize=1)
def all_assets() -> dict[str, Asset]:
    """The files by name."""
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    return {
        name: Asset(TYPES[Path(name).suffix], content, gzip.compress(content, mtime=0))
        for name, content in files.items()
    }


@lru_cache(maxsize=1)
def current_version() -> str:
    """A digest of all files."""
    digest = hashlib.sha256()
    for name, asset in all_assets().items():
        digest.update(name.encode() + b"\0" + asset.plain)
    return digest.hexdigest()[:12]


@cherrypy.expose
class Static:
    """``/ui/static/<version>/<name>``"""

    @Operation("/ui/static/{version}/{name}", None, {200: ""}, short=True, page=True)
    def GET(self, version: str, name: str) -> bytes:
        """Return a file; no one needs a token for it.

        Another version gets the current file, too, which a browser does not keep: while the service is updated, the
        page can be of one process and the file of another.
        """
        asset = all_assets().get(name)
        if asset is None:
            raise cherrypy.NotFound
        headers = cherrypy.response.headers
        headers["Content-Type"], headers["Vary"] = asset.media, "Accept-Encoding"
        if version == current_version():
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        if not GZIP.search(cherrypy.request.headers.get("Accept-Encoding", "")):
            return asset.plain
        headers["Content-Encoding"] = "gzip"
        return asset.packed
