"""The tests of noiseproof, in folders as the code is."""
