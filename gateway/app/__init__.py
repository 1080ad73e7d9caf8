"""The composition root: the only room that names every implementation. Nothing is decided here; things are
put together.

`gateway.py` makes a whole gateway of settings, in the order of its neighbours: `ground.py` what everything
stands on, `identity.py` who asks, `limits.py` how much they have left, `operators.py` who looks after it.
`desks.py` makes the small part that commands need.
"""
