"""What the commands of `steprig` do. Each module is imported when its command is."""
