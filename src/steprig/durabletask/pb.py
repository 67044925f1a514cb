"""The SDK's generated messages, and gRPC: the one module that imports either.

A process has one descriptor pool, and the messages have global names, so there must be no second copy of them.
"""

import grpc  # type: ignore[import-untyped]
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value, StringValue  # type: ignore[import-untyped]

SERVICE = "TaskHubSidecarService"
"""The name of the one service, which is in no package."""

__all__ = ["SERVICE", "BoolValue", "DecodeError", "Int32Value", "StringValue", "Timestamp", "grpc", "pb"]
