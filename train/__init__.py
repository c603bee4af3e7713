"""The command line: `python -m train.run` trains one network into a run directory."""
