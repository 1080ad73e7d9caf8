"""Every setting: name, type, default, meaning. Read once at the start, by `app` and `cli` alone.

A setting is an environment variable `GATEWAY_NAME`; nested ones are joined by `__`. The same tree can stand
in a YAML file named by `GATEWAY_CONFIG_FILE`; variables win over the file. A secret can also be given as the
name of a file that holds it, `GATEWAY_NAME_FILE`. Unknown settings are refused: a misspelt one is noticed.
"""
