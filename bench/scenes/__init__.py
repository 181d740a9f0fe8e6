"""What is measured, by name, in the order in which it is run; a new scene is a module here, and a line below."""

from collections.abc import Mapping

from .durability import Durability
from .embedded import Embedded
from .footprint import Footprint
from .limits import Limits
from .million import Million
from .peers import Peers
from .scaling import Scaling
from .scene import Scene
from .webs import Webs

ALL: Mapping[str, Scene] = {
    scene.name: scene
    for scene in (Peers(), Webs(), Limits(), Million(), Embedded(), Footprint(), Scaling(), Durability())
}
