"""What is served (floor 1): the info tree, from packages to nodes and back.

On the server `inspector` imports packages (`walk`), leaves out what is hidden (`visibility`)
and describes the rest (`describing`, `signature`, `literals`, `location`, all through
`introspection`, which runs no code of theirs); the result is an `inventory`. `nodes` travel as
`documents`, and `info` is the tree that both sides see.
"""
