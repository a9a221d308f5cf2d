"""Outputs and labels -> a score, and a loss."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.tasks.evaluation import evaluate as evaluate
    from noiseproof.tasks.table import TASKS as TASKS
    from noiseproof.tasks.task import Result as Result
    from noiseproof.tasks.task import Task as Task

__getattr__, __dir__ = face(
    __name__,
    {
        "Result": "tasks.task",
        "TASKS": "tasks.table",
        "Task": "tasks.task",
        "evaluate": "tasks.evaluation",
    },
)
