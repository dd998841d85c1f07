//! Attention rollout (Abnar and Zuidema 2020).

/// The product of (A + I) / 2 over layers, each behind the one before it.
#[derive(Debug)]
pub struct Rollout {
    tokens: usize,
    /// (tokens, tokens); none before the first layer.
    product: Vec<f64>,
}

impl Rollout {
    /// Of no layer yet.
    pub fn new(tokens: usize) -> Self {
        Self { tokens, product: Vec::new() }
    }

    /// Goes through a layer more, whose weights are (tokens, tokens) and add up to 1 in each row.
    pub fn add(&mut self, weights: &[f32]) {
        let n = self.tokens;
        let half = |row: usize, column: usize| {
            let residual = if row == column { 1.0 } else { 0.0 };
            0.5 * (f64::from(weights[row * n + column]) + residual)
        };
        let mut next = vec![0.0; n * n];
        for (row, next) in next.chunks_exact_mut(n.max(1)).enumerate() {
            if self.product.is_empty() {
                next.iter_mut().enumerate().for_each(|(column, x)| *x = half(row, column));
                continue;
            }
            for (through, line) in self.product.chunks_exact(n).enumerate() {
                let share = half(row, through);
                next.iter_mut().zip(line).for_each(|(x, y)| *x += share * y);
            }
        }
        self.product = next;
    }

    /// What each token is made of at the end.
    pub fn finish(self) -> Vec<f32> {
        self.product.into_iter().map(|x| x as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_layers_are_a_product() {
        let mut rollout = Rollout::new(2);
        rollout.add(&[1.0, 0.0, 0.5, 0.5]);
        rollout.add(&[0.0, 1.0, 0.25, 0.75]);
        // [[1, 0], [0.25, 0.75]], then [[0.5, 0.5], [0.125, 0.875]] times that.
        assert_eq!(rollout.finish(), [0.625, 0.375, 0.34375, 0.65625]);
    }
}
