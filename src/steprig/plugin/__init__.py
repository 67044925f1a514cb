"""What the pytest plugin is made of; its face is `steprig.pytest_plugin`."""
