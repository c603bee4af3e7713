"""Tables and figures of the paper, from run directories."""
