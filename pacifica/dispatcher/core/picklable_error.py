"""The base of errors whose constructors take other values than the sentence that ``str()`` returns."""

from collections.abc import Mapping, Sequence
from typing import Any, Self


class PicklableError(Exception):
    """An exception that can be pickled; Celery replaces one that cannot by the nearest base that can."""

    @classmethod
    def restored(cls, args: Sequence[Any], attributes: Mapping[str, Any] = {}) -> Self:
        """An instance with these ``args`` (its sentence), made without its constructor."""
        error = cls.__new__(cls, *args)
        error.args = tuple(args)
        error.__dict__.update(attributes)
        return error

    def __reduce__(self) -> Any:
        return self.restored, (self.args, self.__dict__)
