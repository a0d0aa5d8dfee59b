"""Reads what makers publish about their releases. No module here touches the network: what to fetch is a value."""
