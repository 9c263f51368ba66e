"""What models say of the test split: each cover goes through each model once."""
