"""The report on an adopted application: its parts and its tasks, as the dispatcher sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..app import DispatcherApp
from ..config.settings import Settings
from ..core.registry import Registry
from ..worker.adopted_spec import AdoptedSpec
from ..worker.adopted_task import AdoptedTask
from .application_notes import PartNote, notes_on_application
from .task_notes import NOTE_KINDS, TaskReport, report_on_task, unusable_task


@dataclass(frozen=True)
class AdoptionReport:
    """The parts of the application, and its tasks in the order of their names."""

    parts: Sequence[PartNote]
    tasks: Sequence[TaskReport]

    @property
    def to_do(self) -> list[str]:
        """The parts and tasks with a note that must be followed."""
        tasks = [task.name for task in self.tasks if any(NOTE_KINDS[kind].must for kind in task.notes)]
        return [*dict.fromkeys(part.part for part in self.parts if part.must), *tasks]


def report_on(app: DispatcherApp, registry: Registry, settings: Settings) -> AdoptionReport:
    """The report on all adopted tasks of a process; imports and connects to nothing more than the registry did."""
    specs = {name: spec for name, spec in registry.items() if isinstance(spec, AdoptedSpec)}
    unusable = {name: why for name, why in registry.unusable.items() if isinstance(app.tasks[name], AdoptedTask)}
    tasks = [
        *(report_on_task(app.tasks[name], spec) for name, spec in specs.items()),
        *(unusable_task(app.tasks[name], why) for name, why in unusable.items()),
    ]
    return AdoptionReport(notes_on_application(app, settings, [*specs]), sorted(tasks, key=lambda task: task.name))
