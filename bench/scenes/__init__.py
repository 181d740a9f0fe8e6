"""The scenes by name, in the order in which they run."""

from collections.abc import Mapping

from .million import Million
from .peers import Peers
from .scene import Scene

ALL: Mapping[str, Scene] = {scene.name: scene for scene in (Peers(), Million())}
