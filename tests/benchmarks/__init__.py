"""The benchmark: every figure beside its yardstick, measured in turns in one run against real servers.

Absolute figures of one machine mean little on another; a ratio to what the same stores, the same server or the same
library do on their own, in the same minutes, can be believed. ``python -m tests.benchmarks`` runs it.
"""
