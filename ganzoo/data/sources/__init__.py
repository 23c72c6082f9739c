"""Where data comes from: bundled sets, folders and zip files, IDX files, TensorFlow Datasets; all as `Records`."""
