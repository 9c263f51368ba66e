"""`covers why`: what a model's answer for a cover rests on."""
