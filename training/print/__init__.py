"""Training of the sign reader: lines of print in many typefaces, and the network that reads them."""
