"""The router: decides which channels may serve a request, from an immutable snapshot that it keeps at head."""
