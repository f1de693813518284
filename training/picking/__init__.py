"""`pick`: which checkpoint and weight to use, from sample pictures of any trainer and no model at all.

In order: `names`, `metadata`, `loras`, `prompts` say what a file is; `samples` reads a folder, `timeline` orders it,
`subject` tells which prompts ask for the subject; `material` looks at all of it; `judge` measures every checkpoint and
weight, `copies` what is laid over what; `verdict` chooses and explains, `untold` says what cannot be told; `grid`
writes what to draw where too little is there; `pick` runs them.
"""
