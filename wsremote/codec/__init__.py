"""How it is written (floor 2): message <-> bytes, value <-> payload, exception <-> fault.

The only room that imports `msgpack` and, in `pickling`, `cloudpickle`.
"""
