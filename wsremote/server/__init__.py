"""The server (floor 3): listener, sessions, lanes, dispatch, policy, output."""
