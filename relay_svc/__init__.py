"""The relay: takes a client's HTTP request, asks a router for a plan, and streams the answer back."""
