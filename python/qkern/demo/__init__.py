"""The model and the images of `qkern demo`: a small CNN for Fashion-MNIST, trained by `train.py` beside it."""
