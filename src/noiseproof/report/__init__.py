"""Rows -> a page and a figure. Reads estimates only: no torch, no GPU, no network."""

from noiseproof.report.html import write_report as write_report
from noiseproof.report.paper import write_figure as write_figure
