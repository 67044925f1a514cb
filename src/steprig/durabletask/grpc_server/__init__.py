"""A gRPC server on an event loop: HTTP/2 over plain TCP (RFC 9113), and gRPC's framing on it.

It exists for what the servers of `grpcio` cost: a thread or several passes of the loop for each call, 4 to 7 times
what a call costs here. Headers are compressed by `hpack`; what is left of HTTP/2 on the side of a server that takes
unary requests is little: frames, two kinds of window, and who may send what when.
"""

from steprig.durabletask.grpc_server.call import Call
from steprig.durabletask.grpc_server.server import GrpcServer, Method

__all__ = ["Call", "GrpcServer", "Method"]
