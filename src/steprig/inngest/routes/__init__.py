"""The HTTP face of the dev server, one module for each family of paths."""
