"""`pick`: which checkpoint and weight to use, from sample pictures of any trainer and no model at all.

In order: `names`, `metadata`, `prompts` say what a file is; `samples` reads a folder; `judge` measures every checkpoint
and weight; `verdict` chooses and explains; `grid` writes what to draw where too little is there; `pick` runs them.
"""
