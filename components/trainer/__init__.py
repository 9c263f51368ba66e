"""The Keras CNN: input, model, training and export."""
