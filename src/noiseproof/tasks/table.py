"""The tasks by name."""

from noiseproof.tasks.classify import CLASSIFY
from noiseproof.tasks.detect import DETECT
from noiseproof.tasks.regress import REGRESS
from noiseproof.tasks.segment import SEGMENT
from noiseproof.tasks.tokens import TOKENS

TASKS = {task.name: task for task in (CLASSIFY, DETECT, REGRESS, SEGMENT, TOKENS)}
