"""The root of steprig's errors; each leaf lives beside what it is about."""


class SteprigError(Exception):
    """Base of every error that steprig raises."""
