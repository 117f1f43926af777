"""Stubs generated from `protos/trunkline/v1`; never edited by hand."""
