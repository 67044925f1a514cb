"""The Lambda API of durable executions, over HTTP."""
