"""The numbered steps of the schema; each states its own tables and imports no model, as models change later."""
