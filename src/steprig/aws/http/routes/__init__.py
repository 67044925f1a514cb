"""The families of routes."""
