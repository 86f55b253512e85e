"""Training: settings, the state of replicas, the kernel of one, stacks of many."""
