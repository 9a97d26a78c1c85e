"""How bytes move (floor 1): WebSocket connections over sockets, and in memory.

The only room that imports `websockets`.
"""
