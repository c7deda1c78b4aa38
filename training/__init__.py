"""What is learnt before the project runs: each command trains one part of the analysis from data made here."""
