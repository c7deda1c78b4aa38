"""What every step of the analysis starts from: figures with their sources, the weather and the typed temperatures."""
