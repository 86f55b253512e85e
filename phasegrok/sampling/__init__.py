"""How a landscape is measured: Wang-Landau sampling with frozen production."""
