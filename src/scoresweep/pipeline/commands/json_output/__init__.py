"""JSON that scripts read: the state and the plan of a study."""
