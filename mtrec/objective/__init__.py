"""What is minimised: losses of tasks, and how they become one."""
