"""The server (floor 4): listener, sessions, lanes, dispatch, policy, output."""
