"""HTTP APIs that are described by OpenAPI 3.0 or 3.1: from a description to definitions of tools.

`reading` takes a description in, `operations` finds what it offers and what was chosen of it, `parameters`, `bodies`
and `schemas` say what goes into a call, `answers` what comes out, `definitions` puts it together. `plan` is how a tool
is called: it is part of its definition, so it is reviewed and pinned with it. Nothing here connects to anything.
"""
