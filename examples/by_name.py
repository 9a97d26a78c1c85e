"""A server that is found by its name: where the name server is, WSREMOTE_NAMESERVER says.

python3 examples/run.py runs all examples; by hand it is `wsremote nameserver`, and then
`wsremote serve examples/packages/garden --name garden --tag example --nameserver URL`.
"""

import wsremote

for server in wsremote.servers("gar"):
    print(server.name, server.state, *server.tags)

with wsremote.connect("garden", tags=["example"]) as session:
    garden = session.modules.garden
    print(garden.describe("Kew", "autumn", beds=3))

    # Asked for again, it is the session that is open already.
    assert wsremote.connect("garden", tags=["example"]) is session

try:
    wsremote.connect("gardne")
except wsremote.NameNotFound as error:
    print("not found:", str(error).count("gardne") > 0)
