"""An OpenAI look-alike for trying, testing and breaking things: no key, no money, no import of our own.

A request's way through it, file by file: `app` (the journey) -> `opinions` (what must never arrive here) ->
`endpoints` (what the path means) -> `ask` (the request, understood) -> one file for each family (`chat`,
`responses`, `images` ...), which asks `pretend` for words -> `faults` (what goes wrong on demand) ->
`delivery` (bytes, at a pace) -> `log` (what was seen and told) -> `account` (what is billed; `organization`
tells administrators of it).
"""
