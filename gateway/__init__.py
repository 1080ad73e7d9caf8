"""A gateway between an enterprise's client apps and the OpenAI API."""

__version__ = "0.1.0"
