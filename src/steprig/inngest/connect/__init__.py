"""Connect: functions whose workers keep a WebSocket open to the dev server, instead of serving HTTP.

The SDK's protobuf module costs hundreds of milliseconds to import, so only `messages` and `session` import it, and
nobody imports those before a worker comes.
"""
