"""Tests of protocol/proof.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsremote.errors import AuthenticationFailed
from wsremote.protocol.proof import NONCE_SIZE, REFUSAL, ClientProof, Credential, transcript

TOKEN = "8wJt-0eY1mW3mVQ9bqgq8s8WkFeeJ5sGJzC1o0Yq2aM"


def opening(**changes: Any) -> bytes:
    """The transcript of one opening, with some fields changed."""
    fields: dict[str, Any] = {
        "oldest": 1,
        "newest": 3,
        "key_id": ClientProof(TOKEN).key_id,
        "client_nonce": b"c" * NONCE_SIZE,
        "version": 3,
        "server_nonce": b"s" * NONCE_SIZE,
        "epoch": b"epoch",
    }
    return transcript(**{**fields, **changes})


def test_both_sides_with_the_token_are_accepted() -> None:
    """Client and server that know the token accept each other's proof."""
    server, client = Credential.from_token(TOKEN), ClientProof(TOKEN)
    said = opening()
    client.check_server_proof(said, server.server_proof(said))
    server.check_client_proof(said, client.client_proof(said))
    assert server == client.credential
    assert server.key_id == client.key_id


@given(token=st.text(min_size=1))
def test_any_text_is_a_token(token: str) -> None:
    """Tokens may hold any characters, lone surrogates included."""
    said = opening(key_id=ClientProof(token).key_id)
    Credential.from_token(token).check_client_proof(said, ClientProof(token).client_proof(said))


def test_another_token_is_refused_by_both_sides() -> None:
    """Neither side accepts a proof made from another token, and both say what to check."""
    said = opening()
    with pytest.raises(AuthenticationFailed, match=r"--token.*WSREMOTE_TOKEN") as refused:
        Credential.from_token(TOKEN).check_client_proof(said, ClientProof("x").client_proof(said))
    assert str(refused.value) == REFUSAL
    with pytest.raises(AuthenticationFailed, match=r"token=.*--token or WSREMOTE_TOKEN.*nothing"):
        ClientProof(TOKEN).check_server_proof(said, Credential.from_token("x").server_proof(said))


@pytest.mark.parametrize("proof", [b"", b"\0" * 31, b"\0" * 32, b"\0" * 33])
def test_proofs_of_any_length_are_refused_alike(proof: bytes) -> None:
    """A proof of a wrong length fails like a wrong one, on both sides."""
    with pytest.raises(AuthenticationFailed) as refused:
        Credential.from_token(TOKEN).check_client_proof(opening(), proof)
    assert str(refused.value) == REFUSAL
    with pytest.raises(AuthenticationFailed):
        ClientProof(TOKEN).check_server_proof(opening(), proof)


def test_a_servers_proof_is_no_clients_proof() -> None:
    """Reflecting one side's proof to it, or to the other role, convinces nobody."""
    server, client = Credential.from_token(TOKEN), ClientProof(TOKEN)
    said = opening()
    with pytest.raises(AuthenticationFailed):
        server.check_client_proof(said, server.server_proof(said))
    with pytest.raises(AuthenticationFailed):
        client.check_server_proof(said, client.client_proof(said))


@pytest.mark.parametrize(
    "change",
    [
        {"client_nonce": b"d" * NONCE_SIZE},
        {"server_nonce": b"d" * NONCE_SIZE},
        {"epoch": b"later"},
        {"key_id": "0" * 16},
        {"oldest": 2},
        {"newest": 2},
        {"version": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_proof_holds_for_one_opening(change: dict[str, Any]) -> None:
    """Replayed under another nonce or epoch, or with versions tampered with, proofs fail."""
    server, client = Credential.from_token(TOKEN), ClientProof(TOKEN)
    with pytest.raises(AuthenticationFailed):
        server.check_client_proof(opening(**change), client.client_proof(opening()))
    with pytest.raises(AuthenticationFailed):
        client.check_server_proof(opening(**change), server.server_proof(opening()))


def test_fields_do_not_run_into_each_other() -> None:
    """Moving bytes from one field to the next gives another transcript."""
    assert opening(server_nonce=b"ab", epoch=b"c") != opening(server_nonce=b"a", epoch=b"bc")
    assert opening(oldest=1, newest=2) != opening(oldest=2, newest=1)


def test_what_the_server_keeps_cannot_log_in() -> None:
    """A proof made from the stored keys alone, as a thief of them has, is refused."""
    server = Credential.from_token(TOKEN)
    said = opening()
    for key in (server.stored_key, server.server_key):
        mask = Credential("", key, key).server_proof(said)
        forged = bytes(a ^ b for a, b in zip(server.stored_key, mask, strict=True))
        with pytest.raises(AuthenticationFailed):
            server.check_client_proof(said, forged)


def test_secrets_stay_out_of_reprs() -> None:
    """Neither keys nor token show in a repr, which logs and tracebacks print."""
    server = Credential.from_token(TOKEN)
    shown = repr(server) + repr(ClientProof(TOKEN))
    assert server.key_id in shown
    for secret in (TOKEN, repr(server.stored_key), repr(server.server_key)):
        assert secret not in shown


def test_an_empty_token_is_none() -> None:
    """An empty token is refused before anything is sent, with what to set."""
    with pytest.raises(ValueError, match="WSREMOTE_TOKEN"):
        ClientProof("")
    with pytest.raises(ValueError, match="empty"):
        Credential.from_token("")
