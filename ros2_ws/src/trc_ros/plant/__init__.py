"""The node `plant`: a simulated plant that closes the loop."""
