"""Every decision about "which database?"."""
