"""What is served (floor 1): the info tree, from a package to nodes and back.

Only `inspector` looks into the packages of users.
"""
