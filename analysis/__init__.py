"""Reports of runs: the paper's tables and figures, and any runs side by side."""
