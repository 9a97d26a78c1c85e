"""The client (floor 3): sessions, the shallow package, the import hook, proxies."""
