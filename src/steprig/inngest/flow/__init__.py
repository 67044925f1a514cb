"""Flow control: when, and whether, an event may start a run, and when a run may be called."""
