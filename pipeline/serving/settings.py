"""How the server behaves: addresses and limits."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ServingSettings:
    """The options of `covers serve`.

    Attributes:
        name: the model's name in URLs.
        host: address to listen at.
        port: TCP port; 0 takes any that is free.
        poll_seconds: how often to look for a newer version.
        max_batch: most images the model is asked about at once.
        max_wait: seconds that a batch which is not full waits for images being checked.
        queue: most images in the server at a time, waiting or being worked on.
        max_images: most images in one request.
        timeout: seconds until a request is given up; that long, too, for its body to arrive.
        max_body: most bytes of a request's body.
        stop_seconds: how long requests in flight may take to end when the server stops.
    """

    name: str = "covers"
    host: str = "127.0.0.1"
    port: int = 8501
    poll_seconds: float = 5.0
    max_batch: int = 32
    max_wait: float = 0.005
    queue: int = 256
    max_images: int = 64
    timeout: float = 30.0
    max_body: int = 64 << 20
    stop_seconds: int = 20

    @property
    def most_bytes_held(self) -> int:
        """Bodies of all requests together, in bytes."""
        return 8 * self.max_body
