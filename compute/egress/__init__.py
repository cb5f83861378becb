"""What may leave: rules, who set them, and the verdict on what a job left behind."""
