"""The Docker Engine, and Podman through its Docker-compatible socket.

``engine`` keeps the contract; ``calls`` runs the synchronous SDK in threads; ``options``
is all that a container gets; ``images``, ``builds``, ``logs`` and ``events`` each own their
stream;
``errors`` says what an answer of the engine means.
"""

from compute.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
