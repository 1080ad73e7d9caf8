"""Tokens that others sign: checked by their issuers' keys, mapped by their claims, traded for short keys."""
