"""What the trainers share: hypernetworks, continual pre-training and taggers."""
