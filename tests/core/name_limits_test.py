"""Names of tasks: which ones are allowed, and that everything that uses a name can use these."""

import pytest

from pacifica.dispatcher.core.name_limits import MAX_NAME
from pacifica.dispatcher.core.permissions import DISPATCH, Caller, parse_grant
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.web.openapi.task_schemas import batch_schemas, task_schemas


def function(x: int) -> None: ...


@pytest.mark.parametrize(
    "name", ["add", "lab.convert", "lab-2:scan", "a@b+c~1", "größe", "x" * MAX_NAME, "..a", "_", "tasks.Klass.run"]
)
def test_task_may_have_this_name(name: str) -> None:
    assert TaskSpec(name, function).name == name
    assert Caller("c", (parse_grant(f"dispatch:{name}"),)).may(DISPATCH, name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x" * (MAX_NAME + 1), r"its name has 192 characters; at most 191 are allowed\. Set another one with @task\("),
        ("", "may only have letters"),
        (".", "not only dots"),
        ("..", "not only dots"),
        ("a/b", "its name 'a/b' may only have letters, digits and"),
        ("a b", "may only have letters"),
        ("a\n", "may only have letters"),
        ("a\0", "may only have letters"),
        ("a\u202eb", "may only have letters"),
        ("a\ud800", "may only have letters"),
        ("lab.<lambda>", "may only have letters"),
        ("a*", "may only have letters"),
        ("a,b", "may only have letters"),
        ("a%2Fb", "may only have letters"),
    ],
)
def test_task_with_this_name_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TaskSpec(name, function)


def test_each_task_has_its_own_schemas_however_alike_their_names_are() -> None:
    registry = Registry([TaskSpec(name, function) for name in ("a:b", "a@b", "a-b", "aéb", "aèb")])
    names = [name for spec in registry.values() for name in task_schemas(spec)]
    assert len(set(names)) == len(names)
    assert len({item["$ref"] for item in batch_schemas(registry, 10)["BatchItem"]["anyOf"]}) == len(registry)
