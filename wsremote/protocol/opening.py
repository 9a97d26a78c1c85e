"""How a session opens, and opens again: hello, challenge, open or resume, with both proofs.

One object a connection and side. Pure: nonces and what else is random are arguments.
"""

from __future__ import annotations

import hmac
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import (
    AuthenticationFailed,
    ConnectionFailed,
    RemoteProtocolError,
    VersionMismatch,
)
from ..printable import printable
from .messages import (
    PROTOCOL_VERSION,
    Challenge,
    Gone,
    Hello,
    Open,
    Refused,
    Resume,
    Resumed,
    Welcome,
)
from .proof import REFUSAL, ClientProof, Credential, resume_proof, resumed_proof, transcript
from .states import CLIENT, SERVER, State, advance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .messages import Message

__all__ = ["ClientOpening", "Opening", "Resumption", "ServerOpening", "Superseded"]


class Superseded(ConnectionFailed):
    """Another attempt to attach has come before this one: another client has the session."""


_REFUSALS = {"token": AuthenticationFailed, "version": VersionMismatch, "stale": Superseded}


class Opening(NamedTuple):
    """A session is to be made.

    Attributes:
        nonce: 16 random bytes, of this session: a repeated opening is known by it.
        attach: Counts the connection attempts of the session, from 1.
        tree: Digest of the tree the client has; "" for none.
        installed: Root packages of the data type registry it can import, with versions.
        client: What it says about itself: host, pid, Python.
    """

    nonce: bytes
    attach: int
    tree: str
    installed: dict[str, str]
    client: dict[str, Any]


class Resumption(NamedTuple):
    """A session is to go on.

    Attributes:
        session: Which.
        secret: Of its welcome.
        attach: Above that of every attempt before.
        received: Highest `seq` that the client has.
        transfers: Bytes of each buffer that it has and that nothing has claimed.
        client: What it says about itself.
    """

    session: str
    secret: bytes
    attach: int
    received: int
    transfers: list[list[int]]
    client: dict[str, Any]


class ClientOpening:
    """The client's half.

    Args:
        token: The secret both sides know.
        nonce: 32 random bytes, of this connection only.
        purpose: A session to make, or one to go on with.

    Attributes:
        epoch: Of the server process, as soon as it has proved itself.
    """

    def __init__(self, token: str, *, nonce: bytes, purpose: Opening | Resumption) -> None:
        self.state = State.NEW
        self.epoch = b""
        self._proof = ClientProof(token)
        self._nonce = nonce
        self._purpose = purpose
        self._said = b""

    def start(self) -> Hello:
        """The first message of the connection."""
        self.state = State.GREETED
        return Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, self._proof.key_id, self._nonce)

    def receive(self, message: Message) -> Open | Resume | Welcome | Resumed | Gone:
        """What to send on a challenge; what the server has answered to it.

        Raises:
            AuthenticationFailed: One of the two proofs is wrong.
            VersionMismatch: No protocol version is common.
            ConnectionFailed: The server refuses for another reason; its text says which.
            RemoteProtocolError: The message must not come now.
        """
        self.state = advance(CLIENT, self.state, message)
        if isinstance(message, Refused):
            raise _REFUSALS.get(message.code, ConnectionFailed)(printable(message.text))
        if isinstance(message, Resumed):
            self._check_resumed(message)
        if isinstance(message, Welcome | Resumed | Gone):
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
        self.epoch, self._said = message.epoch, said
        proof, purpose = self._proof.client_proof(said), self._purpose
        if isinstance(purpose, Opening):
            return Open(proof, *purpose)
        session, secret, attach, received, transfers, client = purpose
        secret_proof = resume_proof(secret, said, session, attach, received, transfers)
        return Resume(proof, session, secret_proof, attach, received, transfers, client)

    def _check_resumed(self, message: Resumed) -> None:
        """See that the numbers of the answer are those that the server has sent.

        Raises:
            RemoteProtocolError: They are not, or no session was to be resumed.
        """
        purpose = self._purpose
        if isinstance(purpose, Resumption):
            proof = resumed_proof(purpose.secret, self._said, message.received, message.transfers)
            if hmac.compare_digest(proof, message.proof):
                return
        raise RemoteProtocolError("the answer to a resume is not what the server has sent")


class ServerOpening:
    """The server's half.

    Args:
        credential: Of the token.
        nonce: 32 random bytes, of this connection only.
        epoch: 16 random bytes, of this server process.
        further: Of other tokens that are taken as well, by their key ids.
    """

    def __init__(
        self,
        credential: Credential,
        *,
        nonce: bytes,
        epoch: bytes,
        further: Mapping[str, Credential] = MappingProxyType({}),
    ) -> None:
        self.state = State.NEW
        # That of the client's token, as soon as it has said which.
        self._credential = credential
        self._further = further
        self._nonce = nonce
        self._epoch = epoch
        # The transcript of this opening, when there is one.
        self.said = b""
        self._known = False

    @property
    def key_id(self) -> str:
        """Of the token that the client proves, which it has said in its hello."""
        return self._credential.key_id

    def receive(self, message: Message) -> Challenge | Refused | Open | Resume:
        """What to answer; the Open or Resume itself when the client has proved itself.

        After a Refused the connection is to be closed.

        Raises:
            RemoteProtocolError: The message must not come now.
        """
        self.state = advance(SERVER, self.state, message)
        if isinstance(message, Hello):
            return self._challenge(message)
        assert isinstance(message, Open | Resume)
        try:
            self._credential.check_client_proof(self.said, message.proof)
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
        # Who names no token of ours is answered as if it were the first: at the same cost.
        self._credential = self._further.get(hello.key_id, self._credential)
        self._known = hello.key_id == self._credential.key_id
        self.said = transcript(
            oldest=hello.oldest,
            newest=hello.newest,
            key_id=hello.key_id,
            client_nonce=hello.nonce,
            version=PROTOCOL_VERSION,
            server_nonce=self._nonce,
            epoch=self._epoch,
        )
        proof = self._credential.server_proof(self.said)
        return Challenge(PROTOCOL_VERSION, self._nonce, self._epoch, proof)

    def _refuse(self, code: str, text: str) -> Refused:
        self.state = State.CLOSED
        return Refused(code, text)
