"""The wsremote name server: clients find servers by name."""
