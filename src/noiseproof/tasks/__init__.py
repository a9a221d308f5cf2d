"""Outputs and labels -> a score, and a loss."""

from typing import TYPE_CHECKING

from noiseproof.core.lazy import face

if TYPE_CHECKING:
    from noiseproof.tasks.classify import class_logits as class_logits
    from noiseproof.tasks.evaluation import check_classes as check_classes
    from noiseproof.tasks.evaluation import check_fits as check_fits
    from noiseproof.tasks.evaluation import evaluate as evaluate
    from noiseproof.tasks.evaluation import taken as taken
    from noiseproof.tasks.own import Score as Score
    from noiseproof.tasks.own import ScoreFunction as ScoreFunction
    from noiseproof.tasks.own import facts_of_score as facts_of_score
    from noiseproof.tasks.own import owned as owned
    from noiseproof.tasks.own import unscored as unscored
    from noiseproof.tasks.table import TASKS as TASKS
    from noiseproof.tasks.task import Forward as Forward
    from noiseproof.tasks.task import Result as Result
    from noiseproof.tasks.task import Task as Task
    from noiseproof.tasks.task import whole_numbers as whole_numbers

__getattr__, __dir__ = face(
    __name__,
    {
        "Forward": "tasks.task",
        "Result": "tasks.task",
        "Score": "tasks.own",
        "ScoreFunction": "tasks.own",
        "TASKS": "tasks.table",
        "Task": "tasks.task",
        "check_classes": "tasks.evaluation",
        "check_fits": "tasks.evaluation",
        "class_logits": "tasks.classify",
        "evaluate": "tasks.evaluation",
        "facts_of_score": "tasks.own",
        "owned": "tasks.own",
        "taken": "tasks.evaluation",
        "unscored": "tasks.own",
        "whole_numbers": "tasks.task",
    },
)
