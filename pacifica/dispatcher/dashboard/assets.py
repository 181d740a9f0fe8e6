"""The files that pages refer to: styles, scripts and the icon, all from this package.

They are read once per process. Their address has a digest of all of them, so that browsers may keep each forever, and
a module's relative import finds the file of the same version.
"""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cherrypy

from ..web.operation import Operation

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css;charset=utf-8", ".js": "text/javascript;charset=utf-8", ".svg": "image/svg+xml"}


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
def version() -> str:
    """A digest of all files."""
    digest = hashlib.sha256()
    for name, asset in all_assets().items():
        digest.update(name.encode() + b"\0" + asset.plain)
    return digest.hexdigest()[:12]


@cherrypy.expose
class Static:
    """``/ui/static/<version>/<name>``"""

    @Operation("/ui/static/{version}/{name}", None, {200: ""}, short=True, page=True)
    def GET(self, version: str, name: str) -> bytes:  # noqa: ARG002 - any version gets the current file
        """Return a file; no one needs a token for it."""
        asset = all_assets().get(name)
        if asset is None:
            raise cherrypy.NotFound
        headers = cherrypy.response.headers
        headers["Content-Type"], headers["Vary"] = asset.media, "Accept-Encoding"
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
        if "gzip" not in cherrypy.request.headers.get("Accept-Encoding", ""):
            return asset.plain
        headers["Content-Encoding"] = "gzip"
        return asset.packed
