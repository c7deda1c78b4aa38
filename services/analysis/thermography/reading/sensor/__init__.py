"""Temperatures that a file carries for every pixel of its sensor, a module for each way of storing them."""
