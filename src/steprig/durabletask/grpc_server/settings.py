"""Settings: what each side tells the other about itself first (RFC 9113, section 6.5)."""

from collections.abc import Collection

from steprig.durabletask.grpc_server import frames
from steprig.durabletask.grpc_server.frames import ConnectionFaultError, ErrorCode, frame
from steprig.durabletask.grpc_server.sending import Outlet, Sender

_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 2, 4, 5
_SMALLEST_FRAME, _LARGEST_FRAME = 1 << 14, (1 << 24) - 1
_WINDOW = 65_535
"""Of a connection, before it is enlarged."""


def _encoded(setting: int, value: int) -> bytes:
    return setting.to_bytes(2, "big") + value.to_bytes(4, "big")


OURS = b"".join(
    (
        frame(
            frames.SETTINGS,
            0,
            0,
            _encoded(_INITIAL_WINDOW_SIZE, frames.LARGEST_WINDOW) + _encoded(_MAX_FRAME_SIZE, frames.MAX_FRAME),
        ),
        frame(frames.WINDOW_UPDATE, 0, 0, (frames.LARGEST_WINDOW - _WINDOW).to_bytes(4, "big")),
    )
)
"""What the server begins with. No window holds a client back, as what it sends is kept as a whole anyway."""


def apply(payload: bytes, sender: Sender, streams: Collection[Outlet]) -> None:
    """Heed a client's settings.

    Raises:
        ConnectionFaultError: A client may not have them.
    """
    if len(payload) % 6:
        raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "settings that are cut")
    for at in range(0, len(payload), 6):
        setting = int.from_bytes(payload[at : at + 2], "big")
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if setting == _INITIAL_WINDOW_SIZE:
            _resize(value, sender, streams)
        elif setting == _MAX_FRAME_SIZE:
            if not _SMALLEST_FRAME <= value <= _LARGEST_FRAME:
                raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, f"frames of at most {value} bytes")
            sender.limit_frames(value)
        elif setting == _ENABLE_PUSH and value > 1:
            raise ConnectionFaultError(ErrorCode.PROTOCOL_ERROR, f"{value} is neither yes nor no")


def _resize(value: int, sender: Sender, streams: Collection[Outlet]) -> None:
    if value > frames.LARGEST_WINDOW:
        raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
    change = value - sender.initial_window
    sender.initial_window = value
    for stream in list(streams):
        sender.open_stream(stream, change)
