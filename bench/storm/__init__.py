"""Storms of refusals: the process that storms, those who ask for what is served, and what is told of both."""
