"""Where handlers live, other than in this process."""
