"""Names of servers: finding one by its name, and registering under one.

A name server is a wsremote server that serves the package `nameserver`; this room is its
client. What it says is a hint: each record is checked field by field, and a server that is
reached by it has to prove that it knows the token, as every server.
"""
