"""Both sides prove that they know the token, and neither ever sends it.

The shape is that of SCRAM (RFC 5802) with HMAC-SHA256 and without the slow hash, because a
token that `wsremote serve` makes has 256 random bits::

    ClientKey = HMAC(token, "client")          server proof = HMAC(ServerKey, transcript)
    StoredKey = SHA-256(ClientKey)             client proof = ClientKey
    ServerKey = HMAC(token, "server")                         XOR HMAC(StoredKey, transcript)

The server needs only StoredKey and ServerKey. Who steals these from it can play the server,
and still cannot log in as a client; who answers in its place without them learns nothing that
would be accepted later. Proofs cover everything both sides said before, nonces included, so
a proof is worth nothing in another opening, and a changed version range breaks it.

A short token of a user's own choice is weaker than all this: the key id and the proofs are
visible on a plain connection, so whoever reads them can try tokens at home, as fast as their
machines hash. Use the token that the server makes, or one as long.

Who resumes a session proves as well that it holds the secret that the session was opened
with, and the server that it has kept it: HMACs over the transcript and the numbers from which each
side goes on. The client's proof of the token is needed as well, so that a token that was taken
back resumes nothing, and a session is not everybody's who has the token.

Nothing here draws random numbers: nonces are arguments, of `NONCE_SIZE` bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from typing import Final

from ..errors import AuthenticationFailed

__all__ = [
    "NONCE_SIZE",
    "REFUSAL",
    "ClientProof",
    "Credential",
    "resume_proof",
    "resumed_proof",
    "transcript",
]

NONCE_SIZE: Final = 32
"""Bytes of a nonce: drawn by each side for each connection, and never used again."""

REFUSAL: Final = (
    "the token was refused: pass the one the server printed when it started, as"
    " connect(token=...), --token or WSREMOTE_TOKEN"
)
"""What a client without the right token is told, whatever was wrong with its proof."""

_IMPOSTOR: Final = (
    "the server did not prove that it knows the token: something else answers at this address,"
    " or the token (connect(token=...), --token or WSREMOTE_TOKEN) is that of another server;"
    " nothing was sent to it"
)


def transcript(
    *,
    oldest: int,
    newest: int,
    key_id: str,
    client_nonce: bytes,
    version: int,
    server_nonce: bytes,
    epoch: bytes,
) -> bytes:
    """What was said before the proofs, as the bytes that both proofs cover.

    Args:
        oldest: Lowest protocol version of the hello.
        newest: Highest protocol version of the hello.
        key_id: Of the hello.
        client_nonce: Of the hello.
        version: The version that the challenge chose.
        server_nonce: Of the challenge.
        epoch: Of the challenge.
    """
    texts = (str(oldest), str(newest), str(version), key_id)
    fields = [text.encode("utf-8", "surrogatepass") for text in texts]
    fields += [client_nonce, server_nonce, epoch]
    # Each field with its length: no two openings have the same bytes.
    parts = [part for data in fields for part in (struct.pack("!I", len(data)), data)]
    return b"wsremote\0" + b"".join(parts)


def resume_proof(
    secret: bytes,
    transcript: bytes,
    session: str,
    attach: int,
    received: int,
    transfers: list[list[int]],
) -> bytes:
    """A client's proof for one resuming of a session; it covers what it says of its state.

    Args:
        secret: Of the welcome.
        transcript: What both sides have said on this connection.
        session: Which session.
        attach: The number of the attempt.
        received: Highest `seq` that it has.
        transfers: Bytes that it has of buffers.
    """
    said = f"resume {session} {attach} {received} {transfers}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret, transcript + said, "sha256")


def resumed_proof(
    secret: bytes, transcript: bytes, received: int, transfers: list[list[int]]
) -> bytes:
    """The server's proof in answer: a wrong byte in its numbers would lose messages."""
    return hmac.digest(secret, transcript + f"resumed {received} {transfers}".encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a server keeps of a token.

    Attributes:
        key_id: Which token a client means: says nothing about the token itself.
        stored_key: Checks a client's proof.
        server_key: Makes the server's proof.
    """

    key_id: str
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def from_token(cls, token: str) -> Credential:
        """The credential of a token.

        Raises:
            ValueError: The token is empty.
        """
        return ClientProof(token).credential

    def server_proof(self, transcript: bytes) -> bytes:
        """The server's proof for one opening."""
        return hmac.digest(self.server_key, transcript, "sha256")

    def check_client_proof(self, transcript: bytes, proof: bytes) -> None:
        """Accept a client's proof for one opening.

        Raises:
            AuthenticationFailed: It was not made from the token for this transcript. The text
                is `REFUSAL`, which a client with an unknown key id is told as well.
        """
        mask = hmac.digest(self.stored_key, transcript, "sha256")
        if len(proof) == len(mask):
            client_key = _xor(proof, mask)
            if hmac.compare_digest(hashlib.sha256(client_key).digest(), self.stored_key):
                return
        raise AuthenticationFailed(REFUSAL)


class ClientProof:
    """What a client derives from its token.

    Raises:
        ValueError: The token is empty.
    """

    __slots__ = ("_client_key", "credential")

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("the token is empty: pass token=... or set WSREMOTE_TOKEN")
        # Any str is a token: one read from a file of another encoding holds lone surrogates.
        secret = token.encode("utf-8", "surrogatepass")
        # ClientKey, which only this side has.
        self._client_key = hmac.digest(secret, b"client", "sha256")
        # What the server keeps of the same token.
        self.credential = Credential(
            key_id=hashlib.sha256(b"wsremote key id\0" + secret).hexdigest()[:16],
            stored_key=hashlib.sha256(self._client_key).digest(),
            server_key=hmac.digest(secret, b"server", "sha256"),
        )

    @property
    def key_id(self) -> str:
        """Which token this is, for the hello."""
        return self.credential.key_id

    def client_proof(self, transcript: bytes) -> bytes:
        """The client's proof for one opening. Only after the server's has been checked."""
        mask = hmac.digest(self.credential.stored_key, transcript, "sha256")
        return _xor(self._client_key, mask)

    def check_server_proof(self, transcript: bytes, proof: bytes) -> None:
        """Accept a server's proof for one opening.

        Raises:
            AuthenticationFailed: It was not made from the token for this transcript.
        """
        if not hmac.compare_digest(self.credential.server_proof(transcript), proof):
            raise AuthenticationFailed(_IMPOSTOR)


def _xor(one: bytes, other: bytes) -> bytes:
    """Two byte strings of the same length, bit by bit."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
