"""The candidates: Trunkline and its peers, each a context that starts one program in front of the canned upstream.

Law: every peer is configured as its own documentation says for speed on one core: one worker, no access log, kept
connections. Its API key check is on where it has one that works without its makers' service.
"""
