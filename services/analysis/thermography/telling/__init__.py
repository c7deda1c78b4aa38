"""From judgements to the report and its image."""
