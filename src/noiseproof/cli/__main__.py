"""`python -m noiseproof.cli`."""

from noiseproof.cli import main

main()
