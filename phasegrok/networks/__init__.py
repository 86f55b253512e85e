"""What is trained: functions of weights, tasks, updates and training, compiled and in PyTorch."""
