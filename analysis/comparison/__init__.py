"""Runs of one's own beside one another, whatever of the paper they belong to."""
