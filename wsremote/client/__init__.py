"""The client (floor 4): sessions, the shallow package, the import hook, proxies."""
