"""The ways of running the four services: one folder each."""
