"""Whole programs that use the library in another way than the command line does."""
