"""From regions to consequences: heat loss, severity, trust in the view, and what to do."""
