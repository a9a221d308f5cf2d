"""What every part of the package needs, and nothing else."""
