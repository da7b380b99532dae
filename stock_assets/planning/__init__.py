"""What is due: which object is missing, or was made of other inputs, code or settings than now."""
