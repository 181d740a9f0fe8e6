"""The scenes by name, in the order in which they run."""

from collections.abc import Mapping

from .embedded import Embedded
from .footprint import Footprint
from .million import Million
from .peers import Peers
from .scene import Scene

ALL: Mapping[str, Scene] = {scene.name: scene for scene in (Peers(), Million(), Embedded(), Footprint())}
