"""What the released version writes and reads, as it was recorded then: the present version runs beside it.

``python -m tests.contract.released`` records a release anew; until then nothing here may change, because it is what the
replicas that are already running do. See docs/adr/0009-expand-migrate-contract.md.
"""
