"""Where the noise accumulates, layer by layer: page, figure and table."""
