"""The signs that the sign reader knows, and the classes that they are read as."""

SIGNS = "0123456789.,-°±:/~%=+# abcdefghijklmnopqrstuvwxyz"
"""In the order of the network's outputs from 1 on; output 0 is "no sign here".
Letters have no case; ``#`` is any other sign."""

CLASSES = len(SIGNS) + 1
