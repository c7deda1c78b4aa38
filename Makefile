# Everything a person does with this repository. `make help` lists it.
.DEFAULT_GOAL := help
PYTHON ?= python3
