"""Networks as functions of one flat vector: layout, initial weights, names of the matrices."""
