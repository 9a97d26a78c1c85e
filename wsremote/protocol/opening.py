"""How a session opens: hello, challenge, open, welcome, with both proofs.

One object a connection and side. Pure: nonces and what else is random are arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AuthenticationFailed, ConnectionFailed, VersionMismatch
from .messages import PROTOCOL_VERSION, Challenge, Hello, Open, Refused, Welcome
from .proof import REFUSAL, ClientProof, Credential, transcript
from .states import CLIENT, SERVER, State, advance

if TYPE_CHECKING:
    from typing import Any

    from .messages import Message

__all__ = ["ClientOpening", "ServerOpening"]

_REFUSALS = {"token": AuthenticationFailed, "version": VersionMismatch}


class ClientOpening:
    """The client's half.

    Args:
        token: The secret both sides know.
        nonce: 32 random bytes, of this connection only.
        open_nonce: 16 random bytes, of this session: a repeated opening is known by it.
        attach: Counts the connection attempts of the session, from 1.
        tree: Digest of the tree the client has; "" for none.
        installed: Root packages of the data type registry it can import, with versions.
        client: What it says about itself: host, pid, Python.
    """

    def __init__(
        self,
        token: str,
        *,
        nonce: bytes,
        open_nonce: bytes,
        attach: int,
        tree: str,
        installed: dict[str, str],
        client: dict[str, Any],
    ) -> None:
        self.state = State.NEW
        self._proof = ClientProof(token)
        self._nonce = nonce
        self._open = (open_nonce, attach, tree, installed, client)

    def start(self) -> Hello:
        """The first message of the connection."""
        self.state = State.GREETED
        return Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, self._proof.key_id, self._nonce)

    def receive(self, message: Message) -> Open | Welcome:
        """What to send on a challenge; the welcome itself when the session is open.

        Raises:
            AuthenticationFailed: One of the two proofs is wrong.
            VersionMismatch: No protocol version is common.
            ConnectionFailed: The server refuses for another reason; its text says which.
            RemoteProtocolError: The message must not come now.
        """
        self.state = advance(CLIENT, self.state, message)
        if isinstance(message, Refused):
            raise _REFUSALS.get(message.code, ConnectionFailed)(message.text)
        if isinstance(message, Welcome):
            return message
        assert isinstance(message, Challenge)
        said = transcript(
            oldest=PROTOCOL_VERSION,
            newest=PROTOCOL_VERSION,
            key_id=self._proof.key_id,
            client_nonce=self._nonce,
            version=message.version,
            server_nonce=message.nonce,
            epoch=message.epoch,
        )
        self._proof.check_server_proof(said, message.proof)
        return Open(self._proof.client_proof(said), *self._open)


class ServerOpening:
    """The server's half.

    Args:
        credential: Of the token.
        nonce: 32 random bytes, of this connection only.
        epoch: 16 random bytes, of this server process.
    """

    def __init__(self, credential: Credential, *, nonce: bytes, epoch: bytes) -> None:
        self.state = State.NEW
        self._credential = credential
        self._nonce = nonce
        self._epoch = epoch
        self._said = b""
        self._known = False

    def receive(self, message: Message) -> Challenge | Refused | Open:
        """What to answer; the Open itself when the client has proved itself.

        After a Refused the connection is to be closed.

        Raises:
            RemoteProtocolError: The message must not come now.
        """
        self.state = advance(SERVER, self.state, message)
        if isinstance(message, Hello):
            return self._challenge(message)
        assert isinstance(message, Open)
        try:
            self._credential.check_client_proof(self._said, message.proof)
        except AuthenticationFailed as error:
            return self._refuse("token", str(error))
        # An unknown key id fails here and not before: it must cost the same to get wrong.
        return message if self._known else self._refuse("token", REFUSAL)

    def _challenge(self, hello: Hello) -> Challenge | Refused:
        if not hello.oldest <= PROTOCOL_VERSION <= hello.newest:
            return self._refuse(
                "version",
                f"this server speaks version {PROTOCOL_VERSION} of the protocol, the client"
                f" {hello.oldest} to {hello.newest}: install the same wsremote on both sides",
            )
        self._known = hello.key_id == self._credential.key_id
        self._said = transcript(
            oldest=hello.oldest,
            newest=hello.newest,
            key_id=hello.key_id,
            client_nonce=hello.nonce,
            version=PROTOCOL_VERSION,
            server_nonce=self._nonce,
            epoch=self._epoch,
        )
        proof = self._credential.server_proof(self._said)
        return Challenge(PROTOCOL_VERSION, self._nonce, self._epoch, proof)

    def _refuse(self, code: str, text: str) -> Refused:
        self.state = State.CLOSED
        return Refused(code, text)
