"""MTCNN: a cascade of three small networks that finds faces and their landmarks (section 4.5)."""
