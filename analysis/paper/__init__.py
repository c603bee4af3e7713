"""The paper's tables and figures, from run directories."""
