"""Whether deviations in units of their errors follow the law that such deviations have."""

import numpy as np


def assert_calibrated(z_s, dof=np.inf):
    """Mean and mean square of independent deviations, at 3.5 of their own errors.

    ``dof``: degrees of freedom of the error, n - 1 for that of n replicas; z is Student's t then.
    """
    z_s = np.asarray(z_s, dtype=float)
    square = 1.0 if np.isinf(dof) else dof / (dof - 2.0)
    fourth = 3.0 if np.isinf(dof) else 3.0 + 6.0 / (dof - 4.0)
    assert np.isfinite(z_s).all()
    assert abs(z_s.mean()) < 3.5 * np.sqrt(square / len(z_s)), z_s.mean()
    assert abs((z_s**2).mean() - square) < 3.5 * square * np.sqrt((fourth - 1.0) / len(z_s)), (
        (z_s**2).mean())
