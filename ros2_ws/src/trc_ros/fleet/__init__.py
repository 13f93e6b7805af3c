"""The node `fleet`: one process that plans for many robots."""
