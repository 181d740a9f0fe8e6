"""The tables over time: one numbered file for each change, which states its own tables and no model of today."""
