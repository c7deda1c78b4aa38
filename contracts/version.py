"""The version of the release: of the package, the OpenAPI and AsyncAPI documents, and the images."""

VERSION = "1.0.0"
