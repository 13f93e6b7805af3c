"""The node `controller`: state and goal in, command and horizon out."""
