//! Small symmetric systems of equations.

/// The lower Cholesky factor of a symmetric matrix, and the log of its determinant. None if a pivot is not above `least`.
pub(super) fn cholesky<const N: usize>(matrix: [[f64; N]; N], least: f64) -> Option<([[f64; N]; N], f64)> {
    let mut factor = [[0.0; N]; N];
    let mut log_determinant = 0.0;
    for i in 0..N {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] - sum;
            if i == j {
                if !rest.is_finite() || rest <= least {
                    return None;
                }
                factor[i][i] = rest.sqrt();
                log_determinant += rest.ln();
            } else {
                factor[i][j] = rest / factor[j][j];
            }
        }
    }
    Some((factor, log_determinant))
}

/// Solves with a Cholesky factor.
pub(super) fn solve<const N: usize>(factor: &[[f64; N]; N], right: [f64; N]) -> [f64; N] {
    let mut x = right;
    for i in 0..N {
        for k in 0..i {
            x[i] -= factor[i][k] * x[k];
        }
        x[i] /= factor[i][i];
    }
    for i in (0..N).rev() {
        for k in i + 1..N {
            x[i] -= factor[k][i] * x[k];
        }
        x[i] /= factor[i][i];
    }
    x
}
