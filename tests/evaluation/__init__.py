"""How well the thermographic analysis works: synthetic scenes with exact truth, real pictures where they are at hand.

``python -m tests.evaluation`` analyses a range of seeds in worker processes and writes ``out/evaluation/`` (a Markdown
report, contact sheets with the failures first). The development range is for tuning. The held-out range is for
reporting: only its run rewrites ``docs/evaluation.md``. Real pictures (option ``--pictures`` or the environment
variable ``THERMAL_PICTURES``) stay where they are: only figures about them are written under ``docs``.
"""
