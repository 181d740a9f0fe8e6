"""What is measured, by name, in the order in which it is run; a new scene is a module here, and a line below."""

from collections.abc import Mapping

from .limits import Limits
from .peers import Peers
from .scene import Scene
from .webs import Webs

ALL: Mapping[str, Scene] = {scene.name: scene for scene in (Peers(), Webs(), Limits())}
