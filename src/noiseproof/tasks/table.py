"""The tasks by name."""

from noiseproof.tasks.classify import CLASSIFY
from noiseproof.tasks.detect import DETECT
from noiseproof.tasks.segment import SEGMENT

TASKS = {task.name: task for task in (CLASSIFY, DETECT, SEGMENT)}
