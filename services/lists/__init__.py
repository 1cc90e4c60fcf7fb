"""Reading lists of tasks: their pages, and the plans by which the databases find few tasks among very many.

A list is read in this order:

1. `pages` takes a question, reads its tasks, and gives a page with the cursor of the next one.
2. `planning` chooses how to read. The statements of `lookups` count what a condition finds, `search_index` finds titles
   on SQLite, and `project_days` and `times_in_order` tell where a list with ranges of times begins.
3. `statements` has the SQL of lists, for each of its `parts`, and `planned` executes what the plan wants. `on_postgres`
   reads long lists there.

`states` and `rare_titles` write a question in another way, which more indexes serve.
"""
