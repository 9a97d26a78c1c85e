"""A deterministic simulation of sessions whose connections fail.

The product's pure cores and its real bytes, under a virtual clock and over a virtual network,
driven by a seed. What decides is in `wsremote.protocol`; the drivers here only carry
messages between it, the network and programs that use a session::

    clock.py     time, and tasks that wait for it
    network.py   connections, and what goes wrong with them
    end.py       what both sides do to send and receive
    server.py    receives connections, keeps sessions, ends them
    hosted.py    the server's end of a session: what is admitted, runs, is answered
    kept.py      of pipelines, on the server
    running.py   what calls do there, and the objects that they do it with
    client.py    opens a session, and connects again
    calling.py   the client's calls: alone, together, in pipelines; given up
    link.py      the client's end of a session: what comes of its calls
    reading.py   iterators of the server's, read ahead
    specs.py     what calls may be
    program.py   what the user's threads do with a session
    oracles.py   what must be true, whatever went wrong: S1 to S10
    world.py     one run: a seed's choice of faults, and figures
    driven.py    clients and a world that do nothing by chance
    machine.py   hypothesis decides what they do, in place of a seed
    planted.py   bugs that must not go unnoticed; planted_streams.py more of them

`python tests/simulation/run.py --seeds 20000` runs as many, and prints figures. What fails,
fails again with `--from SEED --seeds 1`.
"""
