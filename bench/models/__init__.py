"""Whole models, float and int8, beside other libraries: speed, and accuracy in the same table."""
