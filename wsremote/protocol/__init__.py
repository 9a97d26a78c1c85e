"""What is said (floor 1): messages and the sessions that exchange them.

Pure: no socket, clock, thread, asyncio or random in here. Messages go in, messages
and what is to be done come out; whoever drives it does the I/O.
"""
