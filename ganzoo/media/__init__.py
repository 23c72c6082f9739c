"""Pictures, shapes and animations as files and arrays. No TensorFlow in here."""
